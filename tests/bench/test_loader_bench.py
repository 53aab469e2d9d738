"""The benchmark of the loaders opens the requested number of crops, and finds them decoded the second time."""

from pathlib import Path

import pytest

from jersey.bench import loader

CROPS, PX = 500, 32


@pytest.mark.slow
def test_a_data_set_is_opened_twice_and_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "crops"
    loader.write_crops(root, crops=CROPS, px=PX)
    first, _, _ = loader.open_data(root, px=PX)
    monkeypatch.setattr("jersey.data.cache.decode_all", None)  # decoding would fail now
    second, _, _ = loader.open_data(root, px=PX)
    assert len(first.decoded["train"]) == len(second.decoded["train"]) == CROPS
    epochs = loader.epochs(second, batches=2)
    assert {"jersey", "torchvision"} <= set(epochs)
    for epoch in epochs.values():
        epoch()
