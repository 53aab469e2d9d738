"""The predictor on a file whose predictions are known."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers.planted_model import LABELS, THRESHOLDS, crop_of, expected, file_of, planted_model
from PIL import Image

from jersey.core.errors import UserError
from jersey.core.model_file import with_checksum
from jersey.inference import Predictor
from jersey.inference.tracklet import pool_frames


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_model(tmp_path_factory.mktemp("planted") / "model.onnx")


def numbers_of(predictions: object) -> list[str | None]:
    return [each.number for each in predictions]  # type: ignore[attr-defined]


def test_a_prediction_has_the_number_and_calibrated_probabilities(model: Path) -> None:
    prediction = Predictor(str(model)).predict(crop_of("01", certainty=40))
    probabilities_K = expected("01", certainty=40)
    assert prediction.number == "01"
    assert prediction.confidence == pytest.approx(probabilities_K.max())
    assert dict(prediction.top_k) == pytest.approx(dict(zip(LABELS, probabilities_K, strict=True)))
    assert not prediction.unseen


def test_arrays_a_batch_files_and_a_folder_have_the_same_predictions(model: Path, tmp_path: Path) -> None:
    numbers = ["23", "0", "00", "23", "10", "01", "00"]
    crops = [crop_of(number, certainty=30 + 20 * row) for row, number in enumerate(numbers)]
    files = [file_of(tmp_path / f"{row}.png", number, certainty=30 + 20 * row) for row, number in enumerate(numbers)]
    predictor = Predictor(model, batch_size=3)
    one_by_one = [predictor.predict(crop) for crop in crops]
    assert numbers_of(one_by_one) == numbers
    images = [Image.fromarray(crop) for crop in crops]
    for several in (crops, iter(crops), np.stack(crops), files, images, [files[0], *images[1:4], *crops[4:]]):
        assert list(predictor.predict_all(several)) == one_by_one
    assert list(predictor.predict_folder(tmp_path)) == list(zip(files, one_by_one, strict=True))
    assert predictor.predict(files[0]) == predictor.predict(str(files[0])) == one_by_one[0]
    assert predictor.predict(images[0]) == predictor.predict(Image.open(files[0])) == one_by_one[0]


def test_the_predictor_abstains_below_the_confidence_for_the_precision(model: Path) -> None:
    for precision in (0.95, 0.98):
        predictor = Predictor(model, min_precision=precision)
        for certainty in range(1, 256, 20):
            prediction = predictor.predict(crop_of("10", certainty=certainty))
            is_confident = expected("10", certainty=certainty).max() >= THRESHOLDS[precision]
            assert prediction.number == ("10" if is_confident else None)
    assert Predictor(model).predict(crop_of("10", certainty=1)).number == "10"


def test_the_predictor_abstains_below_a_min_confidence(model: Path) -> None:
    confidence = expected("10", certainty=60).max()
    for min_confidence, number in ((confidence - 0.01, "10"), (confidence + 0.01, None), (0, "10"), (1, None)):
        prediction = Predictor(model, min_confidence=min_confidence).predict(crop_of("10", certainty=60))
        assert (prediction.number, prediction.top_k[0][0]) == (number, "10")
    with pytest.raises(UserError, match="leave one out"):
        Predictor(model, min_precision=0.95, min_confidence=0.5)


def test_the_channels_of_arrays_are_in_the_stated_order_and_those_of_images_are_known(
    model: Path, tmp_path: Path
) -> None:
    crop, bgr = crop_of("10"), crop_of("10")[..., ::-1]
    reader = Predictor(model, color="bgr")
    same = Predictor(model).predict(crop)
    file = file_of(tmp_path / "crop.png", "10")
    for predicted in (bgr, Image.fromarray(crop), file, file.read_bytes()):
        assert reader.predict(predicted) == next(reader.predict_all([predicted])) == same
    assert list(reader.predict_all(np.stack([bgr, bgr]))) == [same, same]
    assert reader.predict(crop) != same
    for wrong in ("grb", "BGR", "", None):
        with pytest.raises(UserError, match=f"the color order {wrong!r} is unknown; set color to"):
            Predictor(model, color=wrong)  # type: ignore[arg-type]


def test_a_tilde_is_the_home_folder(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m.onnx").write_bytes(model.read_bytes())
    file_of(tmp_path / "crops" / "crop.png", "10")
    file_of(tmp_path / "here" / "~crop.png", "23")
    predictor = Predictor("~/m.onnx")
    assert predictor.predict("~/crops/crop.png").number == predictor.predict(Path("~/crops/crop.png")).number == "10"
    assert [path for path, _ in predictor.predict_folder("~/crops")] == [tmp_path / "crops" / "crop.png"]
    monkeypatch.chdir(tmp_path / "here")
    assert predictor.predict("~crop.png").number == "23"


def test_with_a_max_delay_results_come_while_the_input_waits_for_them(model: Path) -> None:
    received: list[object] = []

    def frames() -> Iterator[np.ndarray]:
        for number in ("10", "23", "0"):
            before = len(received)
            yield crop_of(number)
            deadline = time.monotonic() + 60
            while len(received) == before and time.monotonic() < deadline:  # needs the result before the next crop
                time.sleep(0.002)

    for prediction in Predictor(model).predict_all(frames(), max_delay_s=0.01):
        received.append(prediction)
    assert numbers_of(received) == ["10", "23", "0"]
    assert list(Predictor(model).predict_all([crop_of("0")] * 200, max_delay_s=0)) == [received[2]] * 200
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="max_delay_s"):
            Predictor(model).predict_all([], max_delay_s=wrong)


def test_a_roster_decides_between_close_numbers(model: Path) -> None:
    crop = crop_of("01", certainty=10)
    assert Predictor(model).predict(crop).number == "01"
    assert Predictor(model, roster=["0", "10"]).predict(crop).number == "10"
    assert Predictor(model, roster=["0", "23"]).predict(crop_of("01")).number is None
    with pytest.raises(UserError, match="'77'"):
        Predictor(model, roster=["77"])


def test_with_an_open_vocabulary_numbers_outside_the_labels_are_predicted_and_marked(
    model: Path, tmp_path: Path
) -> None:
    closed, wide = Predictor(model), Predictor(model, open_vocabulary=True)
    assert closed.predict(crop_of("77")).number == "23"
    for number, unseen in (("77", True), ("23", False)):
        prediction = wide.predict(crop_of(number))
        assert (prediction.number, prediction.unseen) == (number, unseen)
    assert (
        Predictor(model, open_vocabulary=True, roster=["5", "77"]).predict(crop_of("50", certainty=10)).number == "77"
    )
    with pytest.raises(UserError, match="'78'"):
        Predictor(model, open_vocabulary=True, roster=["78"])
    whole = planted_model(tmp_path / "model.onnx", is_open_vocabulary=False)
    assert Predictor(whole).predict(crop_of("10")).number == "10"
    with pytest.raises(UserError, match=r"no compositional head; .* train with --fdl_set=head=compositional_head$"):
        Predictor(whole, open_vocabulary=True)


def test_bad_crops_return_their_errors_and_the_rest_are_predicted(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    wrong = [tmp_path / "bad.jpg", crop_of("0").astype(np.float32), crop_of("0")[:0], Image.new("F", (9, 9)), None]
    found = list(Predictor(model, batch_size=2).predict_all([crop_of("0"), *wrong, crop_of("23")]))
    assert [isinstance(each, UserError) for each in found] == [False, *[True] * len(wrong), False]
    assert numbers_of([found[0], found[-1]]) == ["0", "23"]
    for crop in wrong:
        with pytest.raises(UserError):
            Predictor(model).predict(crop)


def test_a_path_or_a_single_crop_is_refused_where_several_are_expected(model: Path) -> None:
    predictor = Predictor(model)
    one_image = Image.fromarray(crop_of("0"))
    for wrong in ("crop.png", Path("crop.png"), crop_of("0"), b"bytes", io.BytesIO(b"file"), one_image):
        for predict in (predictor.predict_all, predictor.probabilities, predictor.predict_tracklet):
            with pytest.raises(UserError, match="use predict"):
                predict(wrong)  # type: ignore[operator]
    with pytest.raises(UserError, match="cannot list the folder"):
        predictor.predict_folder("no/such/folder")


def test_frames_of_a_tracklet_are_pooled_before_the_roster_is_applied(model: Path) -> None:
    probabilities_FK = np.stack([expected("01", certainty=3), expected("10", certainty=2)])
    predictor = Predictor(model)
    crops = [crop_of("01", certainty=3), crop_of("10", certainty=2)]
    assert dict(predictor.predict_tracklet(crops).top_k) == pytest.approx(
        dict(zip(LABELS, pool_frames(probabilities_FK), strict=True)), rel=1e-4
    )
    with_roster = Predictor(model, roster=["10", "23"])
    single = with_roster.predict(crops[0])
    assert with_roster.predict_tracklet(crops[:1]).number == single.number
    assert with_roster.predict_tracklet(crops[:1]).confidence == pytest.approx(single.confidence, rel=1e-4)


def test_uncertain_frames_are_pooled_with_the_correlation_in_the_model(tmp_path: Path) -> None:
    frames, confidences = [crop_of("10", certainty=60)] * 10, []
    probabilities_FK = np.stack([expected("10", certainty=60)] * 10)
    for correlation in (0.0, 0.2, 1.0):
        calibration = json.dumps({"temperature": 1.0, "crops": 9, "frame_correlation": correlation})
        path = planted_model(tmp_path / "model.onnx", calibration=calibration)
        predictor = Predictor(path, min_precision=0.98)
        prediction = predictor.predict_tracklet(frames)
        confidences.append(prediction.confidence)
        assert prediction.confidence == pytest.approx(
            pool_frames(probabilities_FK, correlation=correlation).max(), rel=1e-5
        )
        assert prediction.number == (None if correlation == 1 else "10")
        assert predictor.predict(frames[0]).number is None
        assert predictor.predict_tracklet([crop_of("10", certainty=0)] * 10).number is None
    assert confidences == sorted(confidences, reverse=True)


def test_a_tracklet_skips_bad_crops_but_needs_a_good_one(model: Path, tmp_path: Path) -> None:
    predictor = Predictor(model)
    assert predictor.predict_tracklet([tmp_path / "none.png", crop_of("10")]).number == "10"
    with pytest.raises(UserError, match=r"2 crops.*none\.png does not exist"):
        predictor.predict_tracklet([tmp_path / "none.png"] * 2)
    with pytest.raises(UserError, match="0 crops"):
        predictor.predict_tracklet([])


def test_the_cpu_is_always_available_and_a_missing_provider_raises_one_sentence(model: Path) -> None:
    for requested in (["cpu"], ["CPU"], ["CPUExecutionProvider"], "cpu", None):
        predictor = Predictor(model, providers=requested)
        assert predictor.model.session.get_providers()[-1] == "CPUExecutionProvider"
    for missing in ("abacus", "openvino"):
        with pytest.raises(UserError, match=f"{missing} is not available: this onnxruntime has .*cpu"):
            Predictor(model, providers=[missing])


def test_a_provider_that_does_not_start_is_an_error_only_if_requested(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This is the case if onnxruntime was built for CUDA and its libraries are missing: it continues with the CPU.
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.warns(UserWarning, match="CUDA"), pytest.raises(UserError, match="cuda is not available: it could not"):
        Predictor(model, providers=["cuda"])
    with pytest.warns(UserWarning, match="CUDA"):
        assert Predictor(model).predict(crop_of("10")).number == "10"


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"top_k": 0}, *({"min_confidence": value} for value in (-0.1, 80, float("nan")))]
)
def test_options_out_of_range_are_refused(model: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        Predictor(model, **wrong)  # type: ignore[arg-type]


def test_the_error_for_a_file_of_one_size_names_the_one_to_use(model: Path, tmp_path: Path) -> None:
    content = onnx.load(model)
    del content.metadata_props[-1]  # the checksum
    for axis in (2, 3):
        content.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 8
    (tmp_path / "model.static.onnx").write_bytes(with_checksum(content.SerializeToString()))
    with pytest.raises(UserError, match=r"takes crops of one size only; use the model\.onnx beside it"):
        Predictor(tmp_path / "model.static.onnx")
