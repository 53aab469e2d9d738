"""The bench of the loaders opens as many crops as it says, and the second time finds them decoded."""

from pathlib import Path

import pytest

from jersey.bench import loader

CROPS, PX = 500, 32


@pytest.mark.slow
def test_a_data_set_of_any_size_opened_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "crops"
    loader.fill(root, crops=CROPS, px=PX)
    first, _, _ = loader.opened(root, px=PX)
    monkeypatch.setattr("jersey.data.cache.decode_all", None)  # whoever decodes now fails
    second, _, _ = loader.opened(root, px=PX)
    assert len(first.decoded["train"]) == len(second.decoded["train"]) == CROPS
    epochs = loader.epochs(second, batches=2)
    assert {"jersey", "torchvision"} <= set(epochs)
    for epoch in epochs.values():
        epoch()
