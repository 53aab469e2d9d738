"""Two sides of runs, compared by three scores: top-1, macro recall, and macro recall of the rarest numbers.

Shapes: S runs of a side, N crops of the test split, M of them that count in a score.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jersey.compare.runs import FinishedRun, caveats, rarest, require_comparable
from jersey.compare.statistics import Bools, Gain, gain_between, mcnemar_p
from jersey.core.errors import UserError
from jersey.core.tables import format_table, mean_and_spread
from jersey.runs.folder import changed_lines

SEED = 0  # of the random draws, so that the same runs always give the same words
ONE_PAIR = (
    "One run a side: this is about these two trained models. Other seeds may turn it round; give three runs or more of"
    " each to compare how they were trained."
)
LEGEND = "In points of 100; ± is the spread over seeds. A true gain of the size 'could show' is shown 4 times in 5."
HEADER = ["", "A", "B", "B - A", "95 % interval", "could show"]


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        crops: in the test split.
        numbers: among them.
        more_a: crops that a larger share of A's runs reads right.
        more_b: crops that a larger share of B's runs reads right.
        mcnemar: p of McNemar's exact test; None unless it is one run against one: then nothing is known of other seeds.
        gains: by the name of the score.
        caveats: what to know before believing it.
    """

    a: Sequence[FinishedRun]
    b: Sequence[FinishedRun]
    crops: int
    numbers: int
    more_a: int
    more_b: int
    mcnemar: float | None
    gains: dict[str, Gain]
    caveats: list[str]


def compare(a: Sequence[FinishedRun], b: Sequence[FinishedRun], *, rare: int) -> Comparison:
    """Compares runs of two settings, crop by crop; the `rare` rarest numbers make the third score, unless it is 0.

    Raises:
        UserError: a side has no run, or the runs cannot be paired.
    """
    if not a or not b:
        raise UserError("a side has no run; write: python -m jersey.compare RUN_A... -- RUN_B...")
    require_comparable(a, b)
    files = sorted(a[0].crops)
    right_a_SN, right_b_SN = (np.stack([run.right_N(files) for run in runs]) for runs in (a, b))
    more_N = right_b_SN.mean(axis=0) - right_a_SN.mean(axis=0)
    more_a, more_b = int((more_N < 0).sum()), int((more_N > 0).sum())
    true_N = np.array([a[0].crops[file][1] for file in files])
    all_N, rare_numbers = np.full(len(files), True), rarest(a[0], rare)
    scores: dict[str, tuple[Bools, NDArray[Any]]] = {  # which crops count, and in groups of what
        "top-1": (all_N, np.zeros(len(files))),
        "macro recall": (all_N, true_N),
    }
    if rare_numbers:
        scores[f"macro recall of the {len(rare_numbers)} rarest"] = np.isin(true_N, rare_numbers), true_N
    rng, gains = np.random.default_rng(SEED), {}
    for name, (counts_N, group_of_N) in scores.items():
        group_M = np.unique(group_of_N[counts_N], return_inverse=True)[1]
        gains[name] = gain_between(right_a_SN[:, counts_N], right_b_SN[:, counts_N], group_M, rng=rng)
    return Comparison(
        a=a,
        b=b,
        crops=len(files),
        numbers=len(set(true_N.tolist())),
        more_a=more_a,
        more_b=more_b,
        mcnemar=mcnemar_p(more_a, more_b) if len(a) == len(b) == 1 else None,
        gains=gains,
        caveats=caveats(a, b),
    )


def comparison_text(found: Comparison) -> str:
    """Who was compared, a row a score, and a verdict on each in words."""
    lines = [f"A: {_named(found.a)}", f"B: {_named(found.b)}"]
    if changed := changed_lines(found.a[0].config, found.b[0].config):
        lines.append(f"B differs from A: {changed}")
    lines += [f"warning: {remark}" for remark in found.caveats]
    lines += [
        "",
        _crops(found),
        "",
        *format_table([HEADER, *(_row(*item) for item in found.gains.items())]),
        LEGEND,
        "",
    ]
    lines += [f"{name}: {verdict(gain)}" for name, gain in found.gains.items()]
    return "\n".join([*lines, *([ONE_PAIR] if found.mcnemar is not None else [])]) + "\n"


def verdict(gain: Gain) -> str:
    """B is better, B is worse, or neither is shown."""
    interval = f"95 % interval {_interval(gain)}"
    if gain.is_significant:
        return f"B is {'better' if gain.gain > 0 else 'worse'} by {100 * abs(gain.gain):.2f} points, {interval}"
    if gain.low <= 0 <= gain.high:
        return f"no difference shown, {interval}"
    return f"no difference shown: too few crops decide (p = {gain.p:.3f}), {interval}"


def comparison_json(found: Comparison) -> str:
    """All of it, scores as shares of 1."""
    scores = {
        name: {
            "a": gain.a_S.tolist(),
            "b": gain.b_S.tolist(),
            "gain": gain.gain,
            "interval": [gain.low, gain.high],
            "p": gain.p,
            "smallest_gain": gain.min_detectable,
            "verdict": ("better" if gain.gain > 0 else "worse") if gain.is_significant else "no difference shown",
        }
        for name, gain in found.gains.items()
    }
    content = {
        "a": [str(run.folder) for run in found.a],
        "b": [str(run.folder) for run in found.b],
        "about": "two settings" if found.mcnemar is None else "two models",
        "crops": found.crops,
        "numbers": found.numbers,
        "crops_read_better_by_a": found.more_a,
        "crops_read_better_by_b": found.more_b,
        "mcnemar_p": found.mcnemar,
        "scores": scores,
        "warnings": found.caveats,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _named(runs: Sequence[FinishedRun]) -> str:
    folders = ", ".join(f"{run.folder.parent.name}/{run.folder.name}" for run in runs)
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} ({folders})"


def _crops(found: Comparison) -> str:
    differ = found.more_a + found.more_b
    text = f"{found.crops} test crops of {found.numbers} numbers; {differ} are not read equally well:"
    text += f" {found.more_a} better by A, {found.more_b} better by B"
    return text if found.mcnemar is None else f"{text} (McNemar's exact p = {found.mcnemar:.3g})"


def _row(name: str, gain: Gain) -> list[str]:
    a, b = (mean_and_spread(score_S.tolist()) for score_S in (gain.a_S, gain.b_S))
    return [name, a, b, _points(gain.gain), _interval(gain), f"{100 * gain.min_detectable:.2f}"]


def _interval(gain: Gain) -> str:
    return f"{_points(gain.low)} to {_points(gain.high)}"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"
