"""The table of latencies, from times that are known and from a real small network."""

import sys
from pathlib import Path

import pytest
from helpers.small_run import small_network

from jersey.bench import onnx_latency
from jersey.bench.onnx_latency import as_json, measure, table
from jersey.core.labels import Labels
from jersey.export import ExportModule, ExportSettings, export_copy

TIMES_S = {
    1: {"torch": [0.4, 0.8, 0.4], "onnx": [0.1, 0.2, 0.1], "int8": [0.05, 0.1, 0.1]},
    64: {"torch": [6.4] * 3, "onnx": [3.2] * 3, "int8": [1.6] * 3},
}


def test_rows_hold_medians_and_ratios_of_pairs() -> None:
    rows = [line.split() for line in table("net", TIMES_S).splitlines()]
    assert rows[0][:2] == ["net", "batch"]
    assert rows[2][:4] == ["onnx", "1", "100.00", "10"]
    assert rows[2][4:8] == ["4.000", "(4.000", "to", "4.000)"]
    assert rows[3][8:] == ["2.000", "(1.500", "to", "2.000)"]
    assert rows[5][:4] == ["onnx", "64", "3200.00", "20"]
    of_int8 = as_json(TIMES_S)["batch 64"]["int8"]
    assert of_int8 == {"ms": 1600.0, "x torch": "4.000 (4.000 to 4.000)", "x onnx": "2.000 (2.000 to 2.000)"}


@pytest.mark.slow
def test_every_way_is_measured_at_every_batch_size() -> None:
    labels = Labels(("0", "00", "01"))
    network = small_network(labels=labels)
    settings = ExportSettings(labels=labels, size_px=(32, 32), fit_mode="stretch")
    times_s = measure(ExportModule(export_copy(network), settings), {1: 2, 3: 4})
    assert list(times_s) == [1, 3]
    assert all(set(by_way) == {"torch", "onnx", "onnx, no fit", "fp16", "int8"} for by_way in times_s.values())
    assert {len(values) for values in times_s[3].values()} == {4}
    assert all(value > 0 for by_way in times_s.values() for values in by_way.values() for value in values)


def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["onnx_latency", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        onnx_latency.main()
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
