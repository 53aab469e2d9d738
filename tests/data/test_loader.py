"""The BatchLoader serves every crop once, in the sampler's order, in whole batches on the requested device."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from jersey.data.loader import PADDING, BatchLoader, InMemorySplit, batch_size_error
from jersey.data.sampler import BalancedSampler

CPU = torch.device("cpu")
COUNT = 11


@pytest.fixture
def split() -> InMemorySplit:
    generator = torch.Generator().manual_seed(0)
    images_NCHW = torch.randint(0, 256, (COUNT, 3, 4, 5), generator=generator, dtype=torch.uint8)
    return InMemorySplit(images_NCHW, torch.arange(COUNT) % 3)


def loader_in_order(split: InMemorySplit, *, device: torch.device = CPU, **settings: Any) -> BatchLoader:
    return BatchLoader(split, SequentialSampler(split.labels_N), device=device, **settings)


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, COUNT, COUNT + 1])
def test_every_crop_comes_once_with_its_label_in_batches_of_one_size(
    split: InMemorySplit, batch_size: int, drop_last: bool
) -> None:
    loader = loader_in_order(split, batch_size=batch_size, drop_last=drop_last)
    batches = list(loader)
    lengths = [len(batch["labels"]) for batch in batches]
    assert len(lengths) == len(loader)
    assert set(lengths[:-1]) <= {batch_size}
    count = COUNT // batch_size * batch_size if drop_last else COUNT
    assert sum(lengths) == count
    if count:
        assert torch.cat([batch["indices"] for batch in batches]).tolist() == list(range(count))
        assert torch.equal(torch.cat([batch["images"] for batch in batches]), split.images_NCHW[:count])
        assert torch.equal(torch.cat([batch["labels"] for batch in batches]), split.labels_N[:count])


def test_the_epoch_reaches_the_sampler(split: InMemorySplit) -> None:
    def rows(epoch: int) -> Tensor:
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch["indices"] for batch in loader])

    sampler = BalancedSampler(split.labels_N.tolist(), power=0.5, seed=3)
    loader = BatchLoader(split, sampler, batch_size=4, device=CPU)
    assert rows(0).tolist() == sampler.epoch_indices(0).tolist()
    assert rows(1).tolist() == sampler.epoch_indices(1).tolist() != sampler.epoch_indices(0).tolist()


@pytest.mark.parametrize("served", [0, 1, 2, 3])
def test_an_epoch_continues_after_the_batches_that_were_served(split: InMemorySplit, served: int) -> None:
    def loader(epoch: int) -> BatchLoader:
        sampler = BalancedSampler(split.labels_N.tolist(), power=0.5, seed=3)
        sampler.set_epoch(epoch)
        return BatchLoader(split, sampler, batch_size=4, device=CPU, drop_last=False)

    def rows(loader: BatchLoader) -> list[list[int]]:
        return [batch["indices"].tolist() for batch in loader]

    stopped = loader(epoch=1)
    batches = iter(stopped)
    for _ in range(served):
        next(batches)
    position = stopped.state_dict()
    resumed, other_epoch = loader(epoch=1), loader(epoch=2)
    for each in (resumed, other_epoch):
        each.load_state_dict(position)
    assert rows(resumed) == rows(loader(epoch=1))[served:]
    assert rows(resumed) == rows(loader(epoch=1)), "only the first epoch after the stop is shorter"
    assert rows(other_epoch) == rows(loader(epoch=2))


def rows_by_rank(split: InMemorySplit, processes: int, *, batch_size: int, drop_last: bool) -> list[list[Tensor]]:
    """Returns the rows of every batch, by rank."""
    sampler = BalancedSampler(split.labels_N.tolist(), power=0.5, seed=3)
    loaders = [
        BatchLoader(
            split, sampler, batch_size=batch_size, device=CPU, drop_last=drop_last, rank=rank, processes=processes
        )
        for rank in range(processes)
    ]
    batches = [[batch["indices"] for batch in loader] for loader in loaders]
    assert {len(of_rank) for of_rank in batches} == {len(loaders[0])}
    return batches


@pytest.mark.parametrize(("processes", "batch_size"), [(2, 4), (2, 2), (3, 6), (4, 8)])
def test_processes_divide_each_train_batch_of_a_single_process(
    split: InMemorySplit, processes: int, batch_size: int
) -> None:
    ((*alone,),) = rows_by_rank(split, 1, batch_size=batch_size, drop_last=True)
    together = rows_by_rank(split, processes, batch_size=batch_size, drop_last=True)
    for batch, *parts in zip(alone, *together, strict=True):
        assert torch.stack(parts, dim=1).flatten().tolist() == batch.tolist()


@pytest.mark.parametrize("processes", [2, 3, COUNT + 1, 2 * COUNT + 1])
@pytest.mark.parametrize("batch_size", [1, 4, COUNT + 1])
def test_processes_see_every_crop_once_in_equally_many_equal_batches(
    split: InMemorySplit, processes: int, batch_size: int
) -> None:
    ((*alone,),) = rows_by_rank(split, 1, batch_size=batch_size, drop_last=False)
    together = rows_by_rank(split, processes, batch_size=batch_size, drop_last=False)
    assert {tuple(map(len, of_rank)) for of_rank in together} == {tuple(map(len, together[0]))}
    rows = torch.stack([torch.cat(of_rank) for of_rank in together], dim=1).flatten()
    assert rows[rows != PADDING].tolist() == torch.cat(alone).tolist()
    assert (rows == PADDING).sum() < processes


def test_a_padded_batch_has_full_size(split: InMemorySplit) -> None:
    *_, last = loader_in_order(split, batch_size=4, rank=1, processes=2)
    assert last["indices"].tolist() == [9, PADDING]
    assert len(last["images"]) == len(last["labels"]) == 2


@pytest.mark.parametrize(("batch_size", "processes"), [(7, 2), (8, 3), (2, 2), (4, 8)])
def test_the_error_for_an_indivisible_batch_size_names_a_divisible_one(batch_size: int, processes: int) -> None:
    sentence = batch_size_error(batch_size, processes)
    assert sentence is not None
    assert f"data.batch_size={batch_size} " in sentence
    assert f", {2 * processes} or more" in sentence
    assert batch_size_error(2 * processes, processes) is batch_size_error(7, 1) is batch_size_error(1, 1) is None


@pytest.mark.gpu
@pytest.mark.parametrize("fits", [True, False])
def test_batches_for_a_gpu_are_on_the_gpu(split: InMemorySplit, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jersey.data.loader.GPU_FRACTION", 0.25 if fits else 0.0)
    device = torch.device("cuda", 0)
    loader = loader_in_order(split, batch_size=4, device=device)
    assert loader.split.images_NCHW.is_cuda == fits
    batches = list(loader)
    assert all(value.device == device for batch in batches for value in (batch["images"], batch["labels"]))
    assert torch.equal(torch.cat([batch["images"] for batch in batches]).cpu(), split.images_NCHW)


@pytest.mark.gpu
def test_batches_of_a_split_on_the_gpu_do_not_synchronize(split: InMemorySplit) -> None:
    batches = iter(loader_in_order(split, batch_size=4, device=torch.device("cuda", 0)))
    next(batches)  # copies the order of the epoch
    torch.cuda.set_sync_debug_mode("error")
    try:
        list(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
