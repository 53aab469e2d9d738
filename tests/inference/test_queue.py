"""Crops from threads and asyncio tasks get their own predictions, in shared batches, and no caller waits for ever."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.pages import program
from helpers.planted_model import LABELS, crop_of, file_of, planted_model

from jersey.inference import PredictionQueue, Predictor, UserError

PATIENCE_S = 60


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(planted_model(tmp_path_factory.mktemp("planted") / "model.onnx"), batch_size=8)


@pytest.fixture
def batches(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that onnxruntime receives."""
    sizes: list[int] = []
    run = predictor.model.output

    def counted(name: str, images_NChw: np.ndarray, *, batch_size: int) -> np.ndarray:
        sizes.append(len(images_NChw))
        return run(name, images_NChw, batch_size=batch_size)

    monkeypatch.setattr(predictor.model, "output", counted)
    return sizes


def test_threads_get_the_predictions_of_their_crops(predictor: Predictor, tmp_path: Path) -> None:
    crops = [crop_of(LABELS[i % 5], certainty=20 + i, size_px=(4, 5 + i % 2)) for i in range(100)]
    expected = [predictor.predict(crop) for crop in crops]
    file = file_of(tmp_path / "crop.png", "23")
    with PredictionQueue(predictor, max_delay_s=0.001) as queue, ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda crop: queue.submit(crop).result(PATIENCE_S), crops))
        assert queue.submit(file).result(PATIENCE_S).number == "23"
    assert found == expected


def test_tasks_share_batches(predictor: Predictor, batches: list[int]) -> None:
    async def main() -> list[str | None]:
        with PredictionQueue(predictor, max_delay_s=30) as queue:
            found = await asyncio.gather(*(queue.predict(crop_of(LABELS[i % 5])) for i in range(16)))
        return [each.number for each in found]

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE_S)) == [LABELS[i % 5] for i in range(16)]
    assert batches == [8, 8]


def test_a_lonely_crop_does_not_wait_for_a_full_batch(predictor: Predictor, batches: list[int]) -> None:
    with PredictionQueue(predictor, max_delay_s=0.001) as queue:
        assert [queue.submit(crop_of("10")).result(PATIENCE_S).number for _ in range(3)] == ["10"] * 3
    assert batches == [1, 1, 1]


def test_a_bad_crop_raises_for_its_caller_only(predictor: Predictor) -> None:
    with PredictionQueue(predictor, max_delay_s=0.01) as queue:
        good, bad, last = (queue.submit(crop) for crop in (crop_of("0"), None, crop_of("23")))  # type: ignore[arg-type]
        assert (good.result(PATIENCE_S).number, last.result(PATIENCE_S).number) == ("0", "23")
        with pytest.raises(UserError, match="NoneType"):
            bad.result(PATIENCE_S)


def test_close_waits_for_submitted_crops_and_refuses_more(predictor: Predictor) -> None:
    queue = PredictionQueue(predictor, max_delay_s=30)
    futures = [queue.submit(crop_of("10")) for _ in range(3)]
    queue.close()
    queue.close()
    assert [future.done() for future in futures] == [True] * 3
    with pytest.raises(UserError, match="the queue is closed"):
        queue.submit(crop_of("10"))
    with pytest.raises(UserError, match="max_delay_s"):
        PredictionQueue(predictor, max_delay_s=-1)


def test_a_canceled_future_does_not_take_the_result_of_another(predictor: Predictor) -> None:
    with PredictionQueue(predictor, max_delay_s=30) as queue:
        futures = [queue.submit(crop_of(number)) for number in ("0", "10", "23")]
        assert futures[1].cancel()
    assert [future.result(PATIENCE_S).number for future in (futures[0], futures[2])] == ["0", "23"]


def test_a_defect_reaches_every_caller_and_the_queue_closes(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_submitted = threading.Event()

    def broken(*_: object, **__: object) -> np.ndarray:
        is_submitted.wait(PATIENCE_S)
        raise ZeroDivisionError

    monkeypatch.setattr(predictor.model, "output", broken)
    with PredictionQueue(predictor, max_delay_s=0) as queue:
        futures = [queue.submit(crop_of("10")) for _ in range(20)]
        is_submitted.set()
        for future in futures:
            with pytest.raises(ZeroDivisionError):
                future.result(PATIENCE_S)
        with pytest.raises(UserError, match="closed"):
            queue.submit(crop_of("10"))


def test_the_program_of_the_page_reads_the_players_of_several_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_model(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)

    def camera(left: str, right: str) -> Iterator[np.ndarray]:
        for _ in range(3):
            yield np.hstack([crop_of(left), crop_of(right)])[..., ::-1]

    names: dict[str, Any] = {}
    exec(program("PredictionQueue"), names)
    players = [(0, 0, 6, 4), (6, 0, 6, 4)]
    asyncio.run(names["main"]([camera("10", "00"), camera("23", "01")], lambda frame: players))
    assert sorted(capsys.readouterr().out.splitlines()) == ["10 00"] * 3 + ["23 01"] * 3
