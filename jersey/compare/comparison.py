"""Compares two sides of runs by three metrics: top-1, macro recall, and macro recall of the rarest labels.

Shapes: S runs of a side, N crops of the test split, M of them that a metric includes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jersey.compare.runs import FinishedRun, caveats, rarest, require_comparable
from jersey.compare.statistics import Bools, Gain, gain_between, mcnemar_p
from jersey.core.errors import UserError, plural
from jersey.core.tables import format_table, mean_and_spread
from jersey.runs.folder import changed_lines

SEED = 0  # seed of the random samples, which is fixed so that the same runs always lead to the same text
ONE_PAIR = (
    "With one run per side, the result only holds for these two trained models, and other seeds may reverse it; give at"
    " least three runs per side to compare the settings."
)
LEGEND = (
    "Values are in percent, gains in points; ± is the standard deviation over seeds. A true gain of the size"
    " 'detectable' would be found in 4 of 5 comparisons."
)
HEADER = ["", "A", "B", "B - A", "95 % interval", "detectable"]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        a: runs of A.
        b: runs of B.
        crops: number of test crops.
        labels: number of distinct labels among them.
        better_a: number of crops that a larger fraction of A's runs predicts correctly.
        better_b: number of crops that a larger fraction of B's runs predicts correctly.
        mcnemar: p-value of McNemar's exact test for one run per side; None with more runs.
        gains: gain by name of the metric.
        caveats: limitations of the comparison.
    """

    a: Sequence[FinishedRun]
    b: Sequence[FinishedRun]
    crops: int
    labels: int
    better_a: int
    better_b: int
    mcnemar: float | None
    gains: dict[str, Gain]
    caveats: list[str]


def compare(a: Sequence[FinishedRun], b: Sequence[FinishedRun], *, rare: int) -> Comparison:
    """Compares runs of two settings crop by crop.

    Args:
        a: runs of A.
        b: runs of B.
        rare: number of the rarest labels that the third metric covers; 0 omits that metric.

    Raises:
        UserError: a side has no run, or the runs cannot be paired.
    """
    if not a or not b:
        raise UserError("one side has no run; write: python -m jersey.compare RUN_A... -- RUN_B...")
    require_comparable(a, b)
    files = sorted(a[0].crops)
    correct_a_SN = np.stack([run.correct_N(files) for run in a])
    correct_b_SN = np.stack([run.correct_N(files) for run in b])
    gain_N = correct_b_SN.mean(axis=0) - correct_a_SN.mean(axis=0)
    better_a, better_b = int((gain_N < 0).sum()), int((gain_N > 0).sum())
    labels_N = np.array([a[0].crops[file][1] for file in files])
    all_N, rare_labels = np.full(len(files), True), rarest(a[0], rare)
    metrics: dict[str, tuple[Bools, NDArray[Any]]] = {  # whether each crop is included, and its group
        "top-1": (all_N, np.zeros(len(files))),
        "macro recall": (all_N, labels_N),
    }
    if rare_labels:
        metrics[f"macro recall of the {len(rare_labels)} rarest"] = np.isin(labels_N, rare_labels), labels_N
    rng, gains = np.random.default_rng(SEED), {}
    for name, (included_N, groups_N) in metrics.items():
        group_M = np.unique(groups_N[included_N], return_inverse=True)[1]
        gains[name] = gain_between(correct_a_SN[:, included_N], correct_b_SN[:, included_N], group_M, rng=rng)
    return Comparison(
        a=a,
        b=b,
        crops=len(files),
        labels=len(set(labels_N.tolist())),
        better_a=better_a,
        better_b=better_b,
        mcnemar=mcnemar_p(better_a, better_b) if len(a) == len(b) == 1 else None,
        gains=gains,
        caveats=caveats(a, b),
    )


def comparison_text(found: Comparison) -> str:
    """Formats the runs, one table row per metric, and a verdict on each metric."""
    lines = [f"A: {_named(found.a)}", f"B: {_named(found.b)}"]
    if changed := changed_lines(found.a[0].config, found.b[0].config):
        lines.append(f"B differs from A: {changed}")
    lines += [f"warning: {caveat}" for caveat in found.caveats]
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
    """States whether B is better, B is worse, or no difference is shown."""
    interval = f"95 % interval {_interval(gain)}"
    if gain.is_significant:
        return f"B is {'better' if gain.gain > 0 else 'worse'} by {100 * abs(gain.gain):.2f} points, {interval}"
    if gain.low <= 0 <= gain.high:
        return f"no difference shown, {interval}"
    return f"no difference shown: too few crops differ (p = {gain.p:.3f}), {interval}"


def comparison_json(found: Comparison) -> str:
    """Formats the result as JSON, with metrics as fractions of 1."""
    scores = {
        name: {
            "a": gain.a_S.tolist(),
            "b": gain.b_S.tolist(),
            "gain": gain.gain,
            "interval": [gain.low, gain.high],
            "p": gain.p,
            "min_detectable": gain.min_detectable,
            "verdict": ("better" if gain.gain > 0 else "worse") if gain.is_significant else "no difference shown",
        }
        for name, gain in found.gains.items()
    }
    content = {
        "a": [str(run.folder) for run in found.a],
        "b": [str(run.folder) for run in found.b],
        "about": "two settings" if found.mcnemar is None else "two models",
        "crops": found.crops,
        "labels": found.labels,
        "crops_better_in_a": found.better_a,
        "crops_better_in_b": found.better_b,
        "mcnemar_p": found.mcnemar,
        "scores": scores,
        "warnings": found.caveats,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _named(runs: Sequence[FinishedRun]) -> str:
    folders = ", ".join(f"{run.folder.parent.name}/{run.folder.name}" for run in runs)
    return f"{plural(len(runs), 'run')} ({folders})"


def _crops(found: Comparison) -> str:
    differ = found.better_a + found.better_b
    text = f"{plural(found.crops, 'test crop')} of {plural(found.labels, 'label')}; A and B differ on {differ} of them:"
    text += f" A is better on {found.better_a}, B on {found.better_b}"
    return text if found.mcnemar is None else f"{text} (McNemar's exact p = {found.mcnemar:.3g})"


def _row(name: str, gain: Gain) -> list[str]:
    a, b = (mean_and_spread(score_S.tolist()) for score_S in (gain.a_S, gain.b_S))
    return [name, a, b, _points(gain.gain), _interval(gain), f"{100 * gain.min_detectable:.2f}"]


def _interval(gain: Gain) -> str:
    return f"{_points(gain.low)} to {_points(gain.high)}"


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"
