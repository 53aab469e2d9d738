"""The row of a network and a size, from times that are known."""

from jersey.bench import grid
from jersey.bench.epoch import Measured

TIMES_S = {"bare step": [1.0, 2.0], "jersey": [2.0, 4.0], "torchvision": [6.0, 12.0]}


def test_speeds_are_those_of_training_in_pairs() -> None:
    slower = {name: [2 * value for value in values] for name, values in TIMES_S.items()}
    measured = Measured(training_s=TIMES_S, epoch_s=slower, crops=300, busy=0.9876, gpu_gb=None)
    row = grid.row(measured)
    assert row == {
        "crops/s": 100,
        "x bare step": "0.500 (0.500 to 0.500)",
        "x torchvision": "3.000 (3.000 to 3.000)",
        "x timm": None,
        "busy": 0.988,
        "GB": None,
    }
    lines = grid.table([{"network": "resnet18", "px": 64, **row}]).splitlines()
    assert lines[0].split("  ")[0] == "network"
    assert lines[1].split()[:4] == ["resnet18", "64", "100", "0.500"]
    assert lines[1].split()[-3:] == ["-", "0.988", "-"]
