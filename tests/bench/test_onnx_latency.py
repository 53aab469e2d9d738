"""The predictor's overhead from known times, and measured times of a small network."""

import sys
from pathlib import Path

import pytest
from helpers.small_run import small_network

from jersey.bench import onnx_latency
from jersey.bench.onnx_latency import times_of
from jersey.core.labels import Labels
from jersey.export.export_module import ExportModule, ExportSettings


def times_s(predictor: float, one_by_one: float) -> dict[str, list[float]]:
    times = {"onnx": 0.8, "predictor": predictor, "predictor, one by one": one_by_one}
    return {name: [value, 2 * value, value] for name, value in times.items()}


@pytest.mark.parametrize(
    ("predictor", "one_by_one", "passed"), [(0.9, 0.85, True), (1.0, 0.85, False), (0.9, 1.0, False)]
)
def test_too_large_an_overhead_in_large_batches_or_one_by_one_does_not_pass(
    predictor: float,
    one_by_one: float,
    passed: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(onnx_latency, "random_network", lambda _: None)
    monkeypatch.setattr(onnx_latency, "times_of", lambda *_: {1: times_s(4.0, one_by_one), 64: times_s(predictor, 4.0)})
    measured = onnx_latency.measure(None)
    assert measured["passed"] is passed
    assert measured["overhead"] == pytest.approx(1 - 0.8 / max(predictor, one_by_one), abs=1e-4)
    assert "resnet18, 64 px, batch 64" in capsys.readouterr().out


def test_small_batches_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_latency, "random_network", lambda _: None)
    monkeypatch.setattr(onnx_latency, "times_of", lambda _, rounds: {batch: times_s(4.0, 4.0) for batch in rounds})
    measured = onnx_latency.measure(px=(32,), batch_sizes=(1, 2))
    assert list(measured["networks"]["resnet18, 32 px"]) == ["batch 1", "batch 2"]
    assert (measured["overhead"], measured["passed"]) == (0.8, True)


@pytest.mark.slow
def test_every_candidate_is_timed_at_every_batch_size() -> None:
    labels = Labels(("0", "00", "01"))
    network = small_network(labels=labels)
    settings = ExportSettings(labels=labels, size_px=(32, 32), resize_mode="stretch")
    by_batch = times_of(ExportModule(network, settings), {1: 2, 3: 4})
    assert list(by_batch) == [1, 3]
    names = {"torch", "onnx", "onnx, no resize", "fp16", "int8", "predictor", "predictor, files"} | {
        "predictor, one by one"
    }
    assert all(set(times_s) - {"torch, GPU", "onnx, GPU"} == names for times_s in by_batch.values())
    assert {len(values) for values in by_batch[3].values()} == {4}
    assert all(value > 0 for times_s in by_batch.values() for values in times_s.values() for value in values)


def test_a_folder_without_a_run_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["onnx_latency", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        onnx_latency.harness.command("onnx_latency", None, onnx_latency.measure)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
