"""Results of crops of any size come in the order of the crops, from few batches, and crops are not taken too early."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jersey.core.errors import UserError
from jersey.inference import batching
from jersey.inference.batching import WINDOW, SizeBuckets, decoded
from jersey.inference.pacing import FLUSH

Shape = tuple[int, ...]


class Run:
    """Returns each crop's first red value, and records the shapes of batches."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []

    def __call__(self, images_N3hw: np.ndarray) -> list[int]:
        assert images_N3hw.flags.c_contiguous
        self.shapes.append(images_N3hw.shape)
        return images_N3hw[:, 0, 0, 0].tolist()


def crop(value: int, size_px: tuple[int, int] = (3, 4)) -> np.ndarray:
    return np.full((*size_px, 3), value, np.uint8)


def test_results_keep_the_order_of_crops_of_many_sizes() -> None:
    rng = np.random.default_rng(0)
    sizes = [(3, 4), (4, 3), (5, 5), (1, 1)]
    values = rng.integers(0, 256, 500).tolist()
    run = Run()
    results = SizeBuckets(run, batch_size=8).results(crop(value, sizes[rng.integers(4)]) for value in values)
    assert list(results) == values
    assert sum(shape[0] for shape in run.shapes) == len(values)
    assert max(shape[0] for shape in run.shapes) == 8


@pytest.mark.parametrize(("count", "sizes", "batches"), [(20, 1, [8, 8, 4]), (64, 2, [8] * 8)])
def test_crops_of_one_size_fill_batches_even_if_sizes_alternate(count: int, sizes: int, batches: list[int]) -> None:
    run = Run()
    list(SizeBuckets(run, batch_size=8).results(crop(0, (3, 4 + turn % sizes)) for turn in range(count)))
    assert [shape[0] for shape in run.shapes] == batches


def test_batches_are_channels_first() -> None:
    image_hw3 = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for batched_3hw in SizeBuckets(list, batch_size=2).results([image_hw3, image_hw3]):
        np.testing.assert_array_equal(batched_3hw, image_hw3.transpose(2, 0, 1))


def counted(crops: Iterator[np.ndarray], taken: list[int]) -> Iterator[np.ndarray]:
    for each in crops:
        taken.append(1)
        yield each


def test_a_crop_of_a_rare_size_waits_at_most_for_a_window() -> None:
    taken: list[int] = []
    crops = counted((crop(turn % 256, (9, 9) if turn == 0 else (3, 4)) for turn in range(10_000)), taken)
    results = SizeBuckets(Run(), batch_size=4).results(crops)
    assert next(results) == 0
    assert len(taken) <= WINDOW * 4 + 1


def test_an_infinite_stream_of_equal_crops_returns_results_batch_by_batch() -> None:
    taken: list[int] = []
    forever = counted((crop(7) for _ in iter(int, 1)), taken)
    results = SizeBuckets(Run(), batch_size=4).results(decoded(forever, ahead=4))
    assert [next(results) for _ in range(4)] == [7] * 4
    assert len(taken) == 4


def test_large_crops_make_small_batches_and_few_of_them_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MAX_BATCH_BYTES", 2 * crop(0).nbytes)
    monkeypatch.setattr(batching, "MAX_WINDOW_BYTES", 5 * crop(0).nbytes)
    run = Run()
    list(SizeBuckets(run, batch_size=64).results([crop(0)] * 9))
    assert max(shape[0] for shape in run.shapes) == 3
    taken: list[int] = []
    sizes = [(1, 12), (12, 1), (2, 6), (6, 2), (4, 3), (3, 4)]
    crops = counted((crop(1, sizes[turn % 6]) for turn in range(60)), taken)
    assert next(SizeBuckets(Run(), batch_size=64).results(crops)) == 1
    assert len(taken) == 6


def test_errors_keep_their_position() -> None:
    error = UserError("not a crop")
    results = list(SizeBuckets(Run(), batch_size=2).results([crop(1), error, crop(2), error]))
    assert results == [1, error, 2, error]
    assert list(SizeBuckets(Run(), batch_size=2).results([])) == []


def test_files_and_arrays_keep_their_order_and_a_bad_file_is_an_error(tmp_path: Path) -> None:
    crops: list[object] = []
    for value in range(40):
        path = tmp_path / f"{value}.png"
        Image.fromarray(crop(value)).save(path)
        crops += [path if value % 2 else str(path), crop(100 + value)]
    (tmp_path / "5.png").write_bytes(b"no image")
    crops.append(tmp_path / "nowhere.png")
    found = list(decoded(crops, ahead=7))
    assert [str(each) for each in found if isinstance(each, UserError)] == [str(found[10]), str(found[-1])]
    assert "5.png" in str(found[10])
    assert "does not exist" in str(found[-1])
    values = [int(each[0, 0, 0]) for each in found if not isinstance(each, UserError)]
    assert values == [value for pair in range(40) for value in (pair, 100 + pair) if value != 5]


def test_files_are_decoded_ahead_but_not_all_at_once(tmp_path: Path) -> None:
    Image.fromarray(crop(1)).save(tmp_path / "crop.png")
    taken: list[int] = []
    crops = counted((tmp_path / "crop.png" for _ in range(1000)), taken)  # type: ignore[misc]
    results = decoded(crops, ahead=5)
    next(results)
    assert len(taken) == 6
    results.close()


def test_at_a_flush_no_crop_waits_for_a_full_batch_or_for_decoding_ahead(tmp_path: Path) -> None:
    Image.fromarray(crop(1)).save(tmp_path / "crop.png")
    taken: list[int] = []
    crops = [tmp_path / "crop.png", crop(2, (9, 9)), FLUSH, FLUSH, UserError("no crop"), crop(4), FLUSH, crop(5)]
    run = Run()
    pixels = decoded(counted(iter(crops), taken), ahead=64)  # type: ignore[arg-type]
    results = SizeBuckets(run, batch_size=64).results(pixels)
    assert [next(results), next(results)] == [1, 2]
    assert len(taken) == 3
    assert isinstance(next(results), UserError)
    assert len(taken) == 5
    assert list(results) == [4, 5]
    assert [shape[0] for shape in run.shapes] == [1, 1, 1, 1]
