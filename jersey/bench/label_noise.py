"""Measures how the audit with a reader finds planted label errors.

    python -m jersey.bench.label_noise data/benchmark
    python -m jersey.bench.label_noise data/benchmark runs/resnet18_small/20261121-101500/model.onnx

The benchmark set is generated if the folder does not exist. A fraction of the labels is replaced at random, by any
other label of the set or by one that differs in one digit, once per seed. The first table is about single crops of the
train split, sorted by score: average precision, precision among as many crops as there are errors (which then equals
the recall), and number, precision and recall of the crops that the audit lists. The second is about similar frames of
the tracklets: a pair is correct if one of its two labels was replaced. The third is about crops without a visible
number that have the label of a number. Each value is the mean of the seeds, followed by the min and the max.

Shapes: N crops.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jersey.bench import harness
from jersey.core.labels import ILLEGIBLE, in_order
from jersey.core.tables import format_table
from jersey.data.audit import AuditFinding, AuditRow, audit_folder
from jersey.data.audit.review import Review, review
from jersey.inference import Predictor
from jersey.synth.benchmark import NUMBERS, TRACKLETS, ensure_benchmark
from jersey.synth.generate import generate

SEEDS = (0, 1, 2)
HIDDEN = "hidden"  # folder of the crops for the third table, below the benchmark set


def planted(
    rows: Sequence[AuditRow], noise: str, *, fraction: float, seed: int
) -> tuple[tuple[AuditRow, ...], np.ndarray]:
    """Replaces a fraction of the labels.

    Returns:
        The rows with their new labels, and whether each was changed, bool [N].
    """
    rng, labels, changed = np.random.default_rng(seed), in_order(row.label for row in rows), list(rows)
    is_planted_N = np.zeros(len(rows), bool)
    for index in rng.permutation(len(rows))[: round(fraction * len(rows))].tolist():
        own = rows[index].label
        others = [label for label in labels if label != own and (noise == "any label" or _in_one_digit(label, own))]
        changed[index] = rows[index]._replace(label=str(rng.choice(others)))
        is_planted_N[index] = True
    return tuple(changed), is_planted_N


def _in_one_digit(first: str, second: str) -> bool:
    return len(first) == len(second) and sum(map(str.__ne__, first, second)) == 1


def ranking(scores_N: np.ndarray, is_planted_N: np.ndarray) -> tuple[float, float]:
    """Returns average precision, and precision among as many crops as there are errors."""
    hits_N = is_planted_N[np.argsort(-scores_N, kind="stable")]
    precision_N = np.cumsum(hits_N) / np.arange(1, 1 + len(hits_N))
    return float(precision_N[hits_N].mean()), float(hits_N[: hits_N.sum()].mean())


def listed(findings: Sequence[AuditFinding], rows: Sequence[AuditRow], is_planted_N: np.ndarray) -> list[float]:
    """Returns the number of findings, the fraction with an error, and the fraction of the errors in a finding."""
    errors = {row for row, is_planted in zip(rows, is_planted_N, strict=True) if is_planted}
    found = {row for finding in findings for row in finding.rows}
    correct = [not errors.isdisjoint(finding.rows) for finding in findings]
    return [len(findings), float(np.mean(correct)), len(errors & found) / len(errors)]


def _review(folder: Path, reader: Predictor, split: str) -> Review:
    audit = audit_folder(folder, fast=True)
    return review(replace(audit, rows=tuple(row for row in audit.rows if row.split == split)), reader)


def _crops(clean: Review, noise: str, *, fraction: float, seed: int) -> list[float]:
    rows, is_planted_N = planted(clean.rows, noise, fraction=fraction, seed=seed)
    noisy = replace(clean, rows=rows)
    _, scores_N, _ = noisy.contradictions()
    return [*ranking(scores_N, is_planted_N), *listed(noisy.contradicted(), rows, is_planted_N)]


def _frames(clean: Review, noise: str, *, fraction: float, seed: int) -> list[float]:
    rows, is_planted_N = planted(clean.rows, noise, fraction=fraction, seed=seed)
    return listed(replace(clean, rows=rows).similar(), rows, is_planted_N)


def _hidden(clean: Review, noise: str, *, fraction: float, seed: int) -> list[float]:
    is_illegible_N = np.array([row.label == ILLEGIBLE for row in clean.rows])
    rows = tuple(row._replace(label=row.label or NUMBERS[seed]) for row in clean.rows)
    return listed(replace(clean, rows=rows).illegible(), rows, is_illegible_N)


def measure(root: Path, model: Path | None = None, fraction: float = 0.03) -> dict[str, Any]:
    """Prints the tables.

    Args:
        root: folder of the benchmark set, such as data/benchmark.
        model: exported file that is the reader, such as runs/quickstart/RUN/model.onnx; by default that of the package.
        fraction: fraction of the labels that are replaced, such as 0.03.
    """
    reader = Predictor(model, top_k=1)
    ensure_benchmark(root)
    generate(root / HIDDEN, numbers=NUMBERS, train=0, val=0, test=1000, size_px=64, illegible=0.1, seed=3)
    numbers: dict[str, Any] = {"reader": str(reader.model.path), "fraction": fraction}
    single = ("average precision", "precision at n", "listed", "precision", "recall")
    for title, folder, split, noises, columns, evaluate in (
        ("single crops", root, "train", ("any label", "one digit"), single, _crops),
        ("similar frames", root / TRACKLETS, "test", ("any label",), single[2:], _frames),
        ("hidden numbers", root / HIDDEN, "test", ("a number",), single[2:], _hidden),
    ):
        clean, table = _review(folder, reader, split), [["labels replaced by", *columns]]
        for noise in noises:
            values = np.array([evaluate(clean, noise, fraction=fraction, seed=seed) for seed in SEEDS])
            table.append([noise, *map(_mean_and_range, values.T)])
            numbers[f"{title}, {noise}"] = dict(zip(columns, values.mean(axis=0).round(4).tolist(), strict=True))
        print(f"{title}, {len(clean.rows):,}\n" + "\n".join(format_table(table)) + "\n", flush=True)
    return numbers


def _mean_and_range(values: np.ndarray) -> str:
    digits = 0 if values.max() > 1 else 3
    return f"{values.mean():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"


if __name__ == "__main__":
    harness.command("label_noise", __doc__, measure)
