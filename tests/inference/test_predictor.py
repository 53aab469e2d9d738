"""The predictor on a file whose answers are known."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers.planted_model import LABELS, THRESHOLDS, crop_of, expected, file_of, planted_model

from jersey.core.errors import UserError
from jersey.inference import Predictor
from jersey.inference.onnx_model import with_checksum
from jersey.inference.tracklet import pool_frames


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_model(tmp_path_factory.mktemp("planted") / "model.onnx")


def numbers_of(readings: object) -> list[str | None]:
    return [each.number for each in readings]  # type: ignore[attr-defined]


def test_one_crop_gives_its_number_and_calibrated_probabilities(model: Path) -> None:
    reading = Predictor(str(model)).predict(crop_of("01", sureness=40))
    shares_K = expected("01", sureness=40)
    assert reading.number == "01"
    assert reading.confidence == pytest.approx(shares_K.max())
    assert dict(reading.top_k) == pytest.approx(dict(zip(LABELS, shares_K, strict=True)))
    assert not reading.unseen


def test_arrays_a_batch_files_and_a_folder_read_alike(model: Path, tmp_path: Path) -> None:
    numbers = ["23", "0", "00", "23", "10", "01", "00"]
    crops = [crop_of(number, sureness=30 + 20 * row) for row, number in enumerate(numbers)]
    files = [file_of(tmp_path / f"{row}.png", number, sureness=30 + 20 * row) for row, number in enumerate(numbers)]
    predictor = Predictor(model, batch_size=3)
    one_by_one = [predictor.predict(crop) for crop in crops]
    assert numbers_of(one_by_one) == numbers
    for several in (crops, iter(crops), np.stack(crops), files):
        assert list(predictor.predict_all(several)) == one_by_one
    assert list(predictor.predict_folder(tmp_path)) == list(zip(files, one_by_one, strict=True))
    assert predictor.predict(files[0]) == predictor.predict(str(files[0])) == one_by_one[0]


def test_it_answers_only_above_the_confidence_for_the_precision(model: Path) -> None:
    for precision in (0.95, 0.98):
        predictor = Predictor(model, min_precision=precision)
        for sureness in range(1, 256, 20):
            reading = predictor.predict(crop_of("10", sureness=sureness))
            is_sure = expected("10", sureness=sureness).max() >= THRESHOLDS[precision]
            assert reading.number == ("10" if is_sure else None)
    assert Predictor(model).predict(crop_of("10", sureness=1)).number == "10"


def test_a_roster_decides_between_close_numbers(model: Path) -> None:
    crop = crop_of("01", sureness=10)
    assert Predictor(model).predict(crop).number == "01"
    assert Predictor(model, roster=["0", "10"]).predict(crop).number == "10"
    assert Predictor(model, roster=["0", "23"]).predict(crop_of("01")).number is None
    with pytest.raises(UserError, match="'77'"):
        Predictor(model, roster=["77"])


def test_numbers_outside_the_labels_are_read_and_marked_when_asked_for(model: Path, tmp_path: Path) -> None:
    closed, wide = Predictor(model), Predictor(model, open_vocabulary=True)
    assert closed.predict(crop_of("77")).number == "23"
    for number, unseen in (("77", True), ("23", False)):
        reading = wide.predict(crop_of(number))
        assert (reading.number, reading.unseen) == (number, unseen)
    assert Predictor(model, open_vocabulary=True, roster=["5", "77"]).predict(crop_of("50", sureness=10)).number == "77"
    with pytest.raises(UserError, match="'78'"):
        Predictor(model, open_vocabulary=True, roster=["78"])
    whole = planted_model(tmp_path / "model.onnx", is_open_vocabulary=False)
    assert Predictor(whole).predict(crop_of("10")).number == "10"
    with pytest.raises(UserError, match="compositional head"):
        Predictor(whole, open_vocabulary=True)


def test_bad_crops_give_their_errors_and_the_rest_go_on(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    crops = [crop_of("0"), tmp_path / "bad.jpg", crop_of("0").astype(np.float32), crop_of("0")[:0], crop_of("23")]
    found = list(Predictor(model, batch_size=2).predict_all(crops))
    assert [isinstance(each, UserError) for each in found] == [False, True, True, True, False]
    assert numbers_of([found[0], found[-1]]) == ["0", "23"]
    for crop in crops[1:4]:
        with pytest.raises(UserError):
            Predictor(model).predict(crop)


def test_a_path_or_a_single_crop_is_not_several(model: Path) -> None:
    predictor = Predictor(model)
    for wrong in ("crop.png", Path("crop.png"), crop_of("0")):
        with pytest.raises(UserError, match="use predict"):
            predictor.predict_all(wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cannot list the folder"):
        predictor.predict_folder("no/such/folder")


def test_frames_of_a_tracklet_are_pooled_before_the_roster_is_asked(model: Path) -> None:
    shares_FK = np.stack([expected("01", sureness=3), expected("10", sureness=2)])
    predictor = Predictor(model)
    crops = [crop_of("01", sureness=3), crop_of("10", sureness=2)]
    assert dict(predictor.predict_tracklet(crops).top_k) == pytest.approx(
        dict(zip(LABELS, pool_frames(shares_FK), strict=True)), rel=1e-4
    )
    with_roster = Predictor(model, roster=["10", "23"])
    single = with_roster.predict(crops[0])
    assert with_roster.predict_tracklet(crops[:1]).number == single.number
    assert with_roster.predict_tracklet(crops[:1]).confidence == pytest.approx(single.confidence, rel=1e-4)


def test_unsure_frames_count_together_as_their_correlation_in_the_model_says(tmp_path: Path) -> None:
    frames, sure = [crop_of("10", sureness=60)] * 10, []
    shares_FK = np.stack([expected("10", sureness=60)] * 10)
    for correlation in (0.0, 0.2, 1.0):
        calibration = json.dumps({"temperature": 1.0, "crops": 9, "frame_correlation": correlation})
        path = planted_model(tmp_path / "model.onnx", calibration=calibration)
        predictor = Predictor(path, min_precision=0.98)
        reading = predictor.predict_tracklet(frames)
        sure.append(reading.confidence)
        assert reading.confidence == pytest.approx(pool_frames(shares_FK, correlation=correlation).max(), rel=1e-5)
        assert reading.number == (None if correlation == 1 else "10")
        assert predictor.predict(frames[0]).number is None
        assert predictor.predict_tracklet([crop_of("10", sureness=0)] * 10).number is None
    assert sure == sorted(sure, reverse=True)


def test_a_tracklet_goes_without_bad_crops_but_not_without_any(model: Path, tmp_path: Path) -> None:
    predictor = Predictor(model)
    assert predictor.predict_tracklet([tmp_path / "none.png", crop_of("10")]).number == "10"
    with pytest.raises(UserError, match=r"2 crops.*none\.png does not exist"):
        predictor.predict_tracklet([tmp_path / "none.png"] * 2)
    with pytest.raises(UserError, match="0 crops"):
        predictor.predict_tracklet([])


def test_the_cpu_is_always_there_and_a_missing_provider_is_one_sentence(model: Path) -> None:
    for wanted in (["cpu"], ["CPU"], ["CPUExecutionProvider"], "cpu", None):
        predictor = Predictor(model, providers=wanted)
        assert predictor.model.session.get_providers()[-1] == "CPUExecutionProvider"
    for missing in ("abacus", "openvino"):
        with pytest.raises(UserError, match=f"{missing} is not there: this onnxruntime has .*cpu"):
            Predictor(model, providers=[missing])


def test_a_provider_that_does_not_start_is_refused_only_if_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where onnxruntime was built for CUDA and its libraries are missing: it goes on with the CPU.
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.warns(UserWarning, match="CUDA"), pytest.raises(UserError, match="cuda is not there: it could not"):
        Predictor(model, providers=["cuda"])
    with pytest.warns(UserWarning, match="CUDA"):
        assert Predictor(model).predict(crop_of("10")).number == "10"


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"top_k": 0}])
def test_options_out_of_range_are_refused(model: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        Predictor(model, **wrong)  # type: ignore[arg-type]


def test_a_file_of_one_size_is_refused_with_the_one_to_take(model: Path, tmp_path: Path) -> None:
    content = onnx.load(model)
    del content.metadata_props[-1]  # the seal
    for axis in (2, 3):
        content.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 8
    (tmp_path / "model.static.onnx").write_bytes(with_checksum(content.SerializeToString()))
    with pytest.raises(UserError, match=r"takes crops of one size only; use the model\.onnx beside it"):
        Predictor(tmp_path / "model.static.onnx")
