"""A comparison as a person reads it, and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jersey.compare.comparison import Comparison
from jersey.compare.runs import FinishedRun
from jersey.compare.statistics import Gain
from jersey.core.tables import aligned, mean_and_spread
from jersey.runs.folder import changed_lines

ONE_PAIR = (
    "One run a side: this is about these two trained models. Other seeds may turn it round; give three runs or more of"
    " each to compare how they were trained."
)
LEGEND = "In points of 100; ± is the spread over seeds. A true gain of the size 'could show' is shown 4 times in 5."


def comparison_text(found: Comparison) -> str:
    """Who was compared, a row a score, and a verdict on each in words."""
    lines = [f"A: {_named(found.a)}", f"B: {_named(found.b)}"]
    if changed := changed_lines(found.a[0].config, found.b[0].config):
        lines.append(f"B differs from A: {changed}")
    lines += [f"warning: {remark}" for remark in found.remarks]
    lines += ["", _crops(found), "", *aligned([_HEADER, *(_row(*item) for item in found.gains.items())]), LEGEND, ""]
    lines += [f"{name}: {verdict(gain)}" for name, gain in found.gains.items()]
    return "\n".join([*lines, *([ONE_PAIR] if found.is_one_pair else [])]) + "\n"


def verdict(gain: Gain) -> str:
    """B is better, B is worse, or neither is shown."""
    interval = f"95 % interval {_points(gain.low)} to {_points(gain.high)}"
    if gain.is_shown:
        return f"B is {'better' if gain.gain > 0 else 'worse'} by {100 * abs(gain.gain):.2f} points, {interval}"
    if gain.low <= 0 <= gain.high:
        return f"no difference shown, {interval}"
    return f"no difference shown: too few crops decide (p = {gain.p:.3f}), {interval}"


def comparison_json(found: Comparison) -> str:
    """All of it, scores as shares of 1."""
    content = {
        "a": [str(run.folder) for run in found.a],
        "b": [str(run.folder) for run in found.b],
        "about": "two models" if found.is_one_pair else "two settings",
        "crops": found.crops,
        "numbers": found.numbers,
        "crops_read_better_by_a": found.more_a,
        "crops_read_better_by_b": found.more_b,
        "mcnemar_p": found.mcnemar,
        "scores": {name: _json(gain) for name, gain in found.gains.items()},
        "warnings": found.remarks,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _json(gain: Gain) -> dict[str, Any]:
    return {
        "a": gain.a_S.tolist(),
        "b": gain.b_S.tolist(),
        "gain": gain.gain,
        "interval": [gain.low, gain.high],
        "p": gain.p,
        "smallest_gain": gain.smallest,
        "verdict": ("better" if gain.gain > 0 else "worse") if gain.is_shown else "no difference shown",
    }


def _named(runs: Sequence[FinishedRun]) -> str:
    folders = ", ".join(str(Path(run.folder.parent.name) / run.folder.name) for run in runs)
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} ({folders})"


def _crops(found: Comparison) -> str:
    differ = found.more_a + found.more_b
    text = f"{found.crops} test crops of {found.numbers} numbers; {differ} are not read equally well:"
    text += f" {found.more_a} better by A, {found.more_b} better by B"
    return text if found.mcnemar is None else f"{text} (McNemar's exact p = {found.mcnemar:.3g})"


_HEADER = ["", "A", "B", "B - A", "95 % interval", "could show"]


def _row(name: str, gain: Gain) -> list[str]:
    a, b = (mean_and_spread(score_S.tolist()) for score_S in (gain.a_S, gain.b_S))
    interval = f"{_points(gain.low)} to {_points(gain.high)}"
    return [name, a, b, _points(gain.gain), interval, f"{100 * gain.smallest:.2f}"]


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"
