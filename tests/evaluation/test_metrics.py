"""Scores against scikit-learn and by hand: all classes there, some absent, one only, two in all, ties, nan.

Shapes: N crops, K classes.
"""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk  # type: ignore[import-untyped]
from torch import Tensor

from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.data.loader import PADDING
from jersey.evaluation.calibration import Predictions, calibration_error
from jersey.evaluation.metrics import Collector, Evaluation


def evaluation(logits_NK: Tensor, labels_N: Tensor) -> Evaluation:
    return Evaluation(logits_NK, labels_N, torch.arange(len(labels_N)))


def example(crops: int, classes: int, *, among: list[int] | None = None, seed: int = 0) -> Evaluation:
    """A fairly good network; labels only `among` these classes, predictions of all."""
    generator = torch.Generator().manual_seed(seed)
    choice = torch.tensor(among if among is not None else range(classes))
    labels_N = choice[torch.randint(len(choice), (crops,), generator=generator)]
    logits_NK = torch.randn(crops, classes, generator=generator)
    logits_NK[torch.arange(crops), labels_N] += 1.5
    return evaluation(logits_NK, labels_N)


CASES = {
    "all classes": example(400, 7),
    "absent classes": example(300, 9, among=[0, 3, 4, 8]),
    "two classes absent, one never read": evaluation(
        example(300, 6, among=[0, 2, 3, 5]).logits_NK - 9 * torch.eye(6)[2],
        example(300, 6, among=[0, 2, 3, 5]).labels_N,
    ),
    "two classes": example(100, 2),
    "many classes, few crops": example(60, 43),
    "sure": evaluation(example(400, 7).logits_NK * 60, example(400, 7).labels_N),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Evaluation:
    return CASES[request.param]


def reference(case: Evaluation) -> dict[str, float]:
    labels, logits = case.labels_N.numpy(), case.logits_NK.double()
    present = np.unique(labels)
    predicted = logits.argmax(dim=1).numpy()
    probabilities = logits.softmax(dim=1).numpy()
    chosen = {"labels": present, "average": "macro"}
    return {
        "loss": (logits.logsumexp(dim=1) - logits[torch.arange(len(labels)), labels]).mean().item(),
        "acc_top1": sk.accuracy_score(labels, predicted),
        "acc_top5": np.mean([label in row.argsort()[-5:] for label, row in zip(labels, probabilities, strict=True)]),
        "recall_macro": sk.recall_score(labels, predicted, **chosen),
        "f1_macro": sk.f1_score(labels, predicted, **chosen),
        "auroc_macro": np.mean([sk.roc_auc_score(labels == k, probabilities[:, k]) for k in present]),
        "classes_present": len(present),
    }


def test_scores_are_scikit_learns(case: Evaluation) -> None:
    scores = dict(case.metrics)
    scores.pop("ece")
    assert scores == pytest.approx(reference(case), abs=1e-6)


def test_confusion_and_scores_of_each_class_are_scikit_learns(case: Evaluation) -> None:
    labels, predicted = case.labels_N.numpy(), case.logits_NK.argmax(dim=1).numpy()
    everything = np.arange(case.logits_NK.shape[1])
    np.testing.assert_array_equal(case.confusion_KK, sk.confusion_matrix(labels, predicted, labels=everything))
    np.testing.assert_array_equal(case.present_J, np.unique(labels))
    each = {"labels": everything, "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(case.recall_K, sk.recall_score(labels, predicted, **each))
    np.testing.assert_allclose(case.precision_K, sk.precision_score(labels, predicted, **each))
    np.testing.assert_allclose(case.f1_K, sk.f1_score(labels, predicted, **each))
    np.testing.assert_array_equal(case.support_K, [np.count_nonzero(labels == k) for k in everything])


def test_auroc_of_each_class_is_scikit_learns_and_nan_for_absent_ones(case: Evaluation) -> None:
    labels, probabilities = case.labels_N.numpy(), case.logits_NK.double().softmax(dim=1).numpy()
    expected = [
        sk.roc_auc_score(labels == k, probabilities[:, k]) if (labels == k).any() else np.nan
        for k in range(case.logits_NK.shape[1])
    ]
    np.testing.assert_allclose(case.auroc_K, expected, atol=1e-12)


def test_auroc_with_ties_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_NK = torch.randint(0, 2, (200, 3), generator=generator).float()
    case = evaluation(logits_NK, torch.randint(0, 3, (200,), generator=generator))
    probabilities = logits_NK.double().softmax(dim=1).numpy()
    expected = [sk.roc_auc_score(case.labels_N.numpy() == k, probabilities[:, k]) for k in range(3)]
    np.testing.assert_allclose(case.auroc_K, expected, atol=1e-12)


def test_top5_of_two_classes_is_always_right_and_of_six_not() -> None:
    assert example(50, 2).metrics["acc_top5"] == 1
    logits_NK = torch.arange(6.0).expand(2, 6)  # class 0 comes last, class 1 fifth
    assert evaluation(logits_NK, torch.tensor([0, 1])).metrics["acc_top5"] == 0.5


def test_absent_classes_do_not_count_as_zero() -> None:
    """All crops right, though seven of ten classes have none."""
    labels_N = torch.tensor([1, 4, 4, 9])
    scores = evaluation(10 * torch.nn.functional.one_hot(labels_N, 10).float(), labels_N).metrics
    assert (scores["recall_macro"], scores["f1_macro"], scores["auroc_macro"]) == (1, 1, 1)
    assert scores["classes_present"] == 3


def test_macro_scores_of_a_split_that_lacks_two_classes_by_hand() -> None:
    """Of 0, 1, 2, 3 the split lacks 1 and 3; a crop of 0 is read as 1, one of 2 as 3, one of 2 as 0."""
    labels_N, read_N = torch.tensor([0, 0, 0, 0, 2, 2, 2, 2]), torch.tensor([0, 0, 0, 1, 2, 2, 3, 0])
    case = evaluation(torch.nn.functional.one_hot(read_N, 4).float(), labels_N)
    assert case.metrics["classes_present"] == 2
    assert case.metrics["recall_macro"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert case.metrics["f1_macro"] == pytest.approx((2 * 3 / (4 + 4) + 2 * 2 / (4 + 2)) / 2)
    assert case.metrics["acc_top1"] == pytest.approx(5 / 8)
    assert case.precision_K.tolist() == pytest.approx([3 / 4, 0, 1, 0]), "what was read as an absent class is wrong"
    assert case.recall_K.isnan().tolist() == [False, True, False, True]


def test_reading_crops_as_absent_classes_instead_of_present_ones_is_no_excuse() -> None:
    """The same mistakes, once among the present classes and once into the two absent ones: the same recall."""
    labels_N = torch.tensor([0, 1, 2] * 20)
    wrong_N = torch.arange(60) < 12
    among_N = torch.where(wrong_N, (labels_N + 1) % 3, labels_N)
    into_N = torch.where(wrong_N, 3 + labels_N % 2, labels_N)
    among, into = (
        evaluation(torch.nn.functional.one_hot(read_N, 5).float(), labels_N).metrics for read_N in (among_N, into_N)
    )
    assert into["recall_macro"] == among["recall_macro"] == pytest.approx(0.8)
    assert into["classes_present"] == among["classes_present"] == 3
    assert into["f1_macro"] < 1


def test_a_split_of_one_class_has_no_auroc_but_all_else() -> None:
    scores = example(20, 5, among=[2]).metrics
    assert math.isnan(scores.pop("auroc_macro"))
    assert scores["classes_present"] == 1
    assert scores["recall_macro"] == scores["acc_top1"]
    assert all(math.isfinite(value) for value in scores.values())


def from_confidences(confidences: list[float], right: list[bool]) -> Evaluation:
    """Two classes, class 0 always the answer."""
    logits_NK = torch.tensor([[math.log(p / (1 - p)) if p < 1 else 200.0, 0.0] for p in confidences])
    return evaluation(logits_NK, torch.tensor([0 if good else 1 for good in right]))


def test_calibration_error_by_hand() -> None:
    """Fewer crops than bins: each is alone in its bin."""
    case = from_confidences([0.95, 0.97, 0.92, 0.7, 0.62], [True, False, True, True, False])
    expected = (abs(0.95 - 1) + abs(0.97 - 0) + abs(0.92 - 1) + abs(0.7 - 1) + abs(0.62 - 0)) / 5
    assert case.metrics["ece"] == pytest.approx(expected, abs=1e-6)


def test_the_calibration_error_of_training_is_that_of_the_report() -> None:
    case = example(400, 7)
    predictions = Predictions(case.logits_NK.numpy(), case.labels_N.numpy())
    assert case.metrics["ece"] == pytest.approx(calibration_error(predictions).value)


def test_a_calibrated_network_has_a_small_error_and_a_boasting_one_a_large() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_NK = torch.randn(20_000, 5, generator=generator)
    labels_N = torch.multinomial(logits_NK.softmax(dim=1), 1, generator=generator)[:, 0]
    assert evaluation(logits_NK, labels_N).metrics["ece"] < 0.02
    boasting = evaluation(logits_NK * 20, labels_N)
    right, sure = boasting.metrics["acc_top1"], boasting.logits_NK.double().softmax(dim=1).amax(dim=1).mean().item()
    assert boasting.metrics["ece"] == pytest.approx(sure - right, abs=0.02)


def test_ties_go_to_the_first_class_in_every_score() -> None:
    """Logits of few bits tie often; accuracy, confusion and numpy's argmax (the ONNX consumer's) must not disagree."""
    generator = torch.Generator().manual_seed(0)
    logits_NK = torch.randint(0, 3, (500, 40), generator=generator).float()
    case = evaluation(logits_NK, torch.randint(0, 40, (500,), generator=generator))
    right = (logits_NK.numpy().argmax(axis=1) == case.labels_N.numpy()).mean()
    assert case.metrics["acc_top1"] == right
    assert case.confusion_KK.diagonal().sum().item() / 500 == right


def test_a_diverged_network_scores_nan_instead_of_crashing() -> None:
    scores = evaluation(torch.full((10, 4), math.nan), torch.arange(10) % 4).metrics
    assert math.isnan(scores["loss"])
    assert math.isnan(scores["auroc_macro"])
    assert math.isnan(scores["ece"])


def test_auroc_sees_the_order_among_very_sure_crops() -> None:
    """Logits 20 and 25 ahead: both probabilities are 1 in float32, yet they are ranked."""
    logits_NK = torch.tensor([[25.0, 0.0], [20.0, 0.0]])
    assert evaluation(logits_NK, torch.tensor([0, 1])).metrics["auroc_macro"] == 1


def test_collector_keeps_the_order_and_starts_anew() -> None:
    case = example(10, 3)
    logits_NK = case.logits_NK.clone().requires_grad_()
    collector = Collector()
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        part = {"images": torch.zeros(0), "labels": case.labels_N[rows], "indices": case.indices_N[rows]}
        collector.add(logits_NK[rows].to(torch.bfloat16), part)  # type: ignore[arg-type]
    collected = collector.evaluation()
    torch.testing.assert_close(collected.logits_NK, case.logits_NK, atol=0.05, rtol=0)
    assert collected.logits_NK.dtype == torch.float32
    assert not collected.logits_NK.requires_grad
    assert torch.equal(collected.labels_N, case.labels_N)
    assert torch.equal(collected.indices_N, case.indices_N)

    batch = {"images": torch.zeros(0), "labels": case.labels_N[:2], "indices": case.indices_N[:2]}
    collector.add(logits_NK[:2], batch)  # type: ignore[arg-type]
    assert len(collector.evaluation().labels_N) == 2


def test_collector_leaves_out_the_padding() -> None:
    case = example(6, 3)
    collector, indices_N = Collector(), torch.tensor([4, PADDING, 0, 5, PADDING, PADDING])
    collector.add(case.logits_NK, {"images": torch.zeros(0), "labels": case.labels_N, "indices": indices_N})
    collected = collector.evaluation()
    assert collected.indices_N.tolist() == [4, 0, 5]
    assert torch.equal(collected.logits_NK, case.logits_NK[[0, 2, 3]])
    assert torch.equal(collected.labels_N, case.labels_N[[0, 2, 3]])


def with_unreadable(logits_NK: Tensor, labels_N: Tensor, logits_UK: Tensor) -> Evaluation:
    """As the collector gives it, the unreadable crops first and last."""
    collector, half = Collector(), len(logits_UK) // 2
    logits = torch.cat([logits_UK[:half], logits_NK, logits_UK[half:]])
    labels = torch.full((len(logits),), ILLEGIBLE_INDEX)
    labels[half : half + len(labels_N)] = labels_N
    for rows in torch.arange(len(logits)).split(7):
        part = {"images": torch.zeros(0), "labels": labels[rows], "indices": rows}
        collector.add(logits[rows], part)  # type: ignore[arg-type]
    return collector.evaluation()


def test_unreadable_crops_change_no_score_but_their_own() -> None:
    plain = example(60, 4)
    logits_UK = torch.randn(25, 4, generator=torch.Generator().manual_seed(1))
    case = with_unreadable(plain.logits_NK, plain.labels_N, logits_UK)
    assert torch.equal(case.logits_NK, plain.logits_NK)
    assert torch.equal(case.labels_N, plain.labels_N)
    assert case.indices_N.tolist() == list(range(12, 72))
    assert case.unreadable_indices_U.tolist() == [*range(12), *range(72, 85)]
    assert torch.equal(case.unreadable_logits_UK, logits_UK)
    scores = case.metrics | {"auroc_readable": None}
    assert scores == plain.metrics | {"auroc_readable": None}
    assert "auroc_readable" not in plain.metrics
    assert (plain.unreadable, case.unreadable) == (0, 25)


def test_auroc_of_readable_crops_is_scikit_learns() -> None:
    plain = example(60, 4)
    logits_UK = torch.randn(25, 4, generator=torch.Generator().manual_seed(1)).round()
    case = with_unreadable(plain.logits_NK.round(), plain.labels_N, logits_UK)
    confidence = torch.cat([case.logits_NK, logits_UK]).double().softmax(dim=1).amax(dim=1).numpy()
    expected = sk.roc_auc_score([1] * 60 + [0] * 25, confidence)
    assert 0 < expected < 1
    assert case.metrics["auroc_readable"] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(case.unreadable_confidence_U, confidence[60:])


def test_auroc_of_readable_crops_is_nan_where_nothing_can_be_ranked() -> None:
    plain = example(10, 4)
    diverged = with_unreadable(plain.logits_NK, plain.labels_N, torch.full((3, 4), math.nan))
    assert math.isnan(diverged.metrics["auroc_readable"])
    assert math.isfinite(diverged.metrics["acc_top1"])
    only = with_unreadable(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), torch.zeros(3, 4))
    assert math.isnan(only.metrics["auroc_readable"])
    assert math.isnan(only.metrics["acc_top1"])


def test_padding_is_no_unreadable_crop() -> None:
    collector = Collector()
    labels_N, indices_N = torch.tensor([1, ILLEGIBLE_INDEX, ILLEGIBLE_INDEX]), torch.tensor([0, 1, PADDING])
    batch = {"images": torch.zeros(0), "labels": labels_N, "indices": indices_N}
    collector.add(torch.eye(3), batch)  # type: ignore[arg-type]
    assert collector.evaluation().unreadable_indices_U.tolist() == [1]
