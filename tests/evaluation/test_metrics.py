"""Metrics against scikit-learn and by hand: with absent classes, one class, two classes, ties and nan.

Shapes: N crops, K classes, U illegible crops.
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


def predicting(predicted: list[int], labels: list[int], classes: int) -> Evaluation:
    """Crops with these confident predictions and labels."""
    return evaluation(10 * torch.nn.functional.one_hot(torch.tensor(predicted), classes).float(), torch.tensor(labels))


def example(crops: int, classes: int, *, among: list[int] | None = None, seed: int = 0) -> Evaluation:
    """A fairly accurate network; labels are sampled `among` some classes, predictions may be any."""
    generator = torch.Generator().manual_seed(seed)
    choice = torch.tensor(among if among is not None else range(classes))
    labels_N = choice[torch.randint(len(choice), (crops,), generator=generator)]
    logits_NK = torch.randn(crops, classes, generator=generator)
    logits_NK[torch.arange(crops), labels_N] += 1.5
    return evaluation(logits_NK, labels_N)


def tied(crops: int, classes: int, levels: int) -> Evaluation:
    generator = torch.Generator().manual_seed(0)
    logits_NK = torch.randint(0, levels, (crops, classes), generator=generator).float()
    return evaluation(logits_NK, torch.randint(0, classes, (crops,), generator=generator))


SOME_ABSENT = example(300, 6, among=[0, 2, 3, 5])
CASES = {
    "all classes": example(400, 7),
    "absent classes": example(300, 9, among=[0, 3, 4, 8]),
    "two classes absent, one never predicted": evaluation(
        SOME_ABSENT.logits_NK - 9 * torch.eye(6)[2], SOME_ABSENT.labels_N
    ),
    "two classes": example(100, 2),
    "many classes, few crops": example(60, 43),
    "confident": evaluation(example(400, 7).logits_NK * 60, example(400, 7).labels_N),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Evaluation:
    return CASES[request.param]


def auroc_of(case: Evaluation) -> list[float]:
    labels, probabilities = case.labels_N.numpy(), case.logits_NK.double().softmax(dim=1).numpy()
    return [
        sk.roc_auc_score(labels == k, probabilities[:, k]) if (labels == k).any() else np.nan
        for k in range(case.logits_NK.shape[1])
    ]


def test_metrics_equal_scikit_learns(case: Evaluation) -> None:
    labels, logits = case.labels_N.numpy(), case.logits_NK.double()
    present, predicted = np.unique(labels), logits.argmax(dim=1).numpy()
    top5 = [label in row.argsort()[-5:] for label, row in zip(labels, logits.numpy(), strict=True)]
    scores, chosen = dict(case.metrics), {"labels": present, "average": "macro"}
    scores.pop("ece")
    reference = {
        "loss": (logits.logsumexp(dim=1) - logits[torch.arange(len(labels)), labels]).mean().item(),
        "acc_top1": sk.accuracy_score(labels, predicted),
        "acc_top5": np.mean(top5),
        "recall_macro": sk.recall_score(labels, predicted, **chosen),
        "f1_macro": sk.f1_score(labels, predicted, **chosen),
        "auroc_macro": np.nanmean(auroc_of(case)),
        "classes_present": len(present),
    }
    assert scores == pytest.approx(reference, abs=1e-6)


def test_confusion_matrix_and_metrics_of_each_class_equal_scikit_learns(case: Evaluation) -> None:
    labels, predicted = case.labels_N.numpy(), case.logits_NK.argmax(dim=1).numpy()
    everything = np.arange(case.logits_NK.shape[1])
    np.testing.assert_array_equal(case.confusion_KK, sk.confusion_matrix(labels, predicted, labels=everything))
    np.testing.assert_array_equal(case.present_J, np.unique(labels))
    each = {"labels": everything, "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(case.recall_K, sk.recall_score(labels, predicted, **each))
    np.testing.assert_allclose(case.precision_K, sk.precision_score(labels, predicted, **each))
    np.testing.assert_allclose(case.f1_K, sk.f1_score(labels, predicted, **each))
    np.testing.assert_array_equal(case.support_K, [np.count_nonzero(labels == k) for k in everything])
    np.testing.assert_allclose(case.auroc_K, auroc_of(case), atol=1e-12)


def test_auroc_with_ties_equals_scikit_learns_and_ranks_very_confident_crops() -> None:
    case = tied(200, 3, levels=2)
    np.testing.assert_allclose(case.auroc_K, auroc_of(case), atol=1e-12)
    # With margins of 20 and 25 both probabilities are 1 in float32, yet they are ranked.
    assert evaluation(torch.tensor([[25.0, 0.0], [20.0, 0.0]]), torch.tensor([0, 1])).metrics["auroc_macro"] == 1


def test_top5_of_six_classes_excludes_the_last() -> None:
    logits_NK = torch.arange(6.0).expand(2, 6)  # class 0 comes last, class 1 fifth
    assert evaluation(logits_NK, torch.tensor([0, 1])).metrics["acc_top5"] == 0.5


def test_macro_scores_of_a_split_that_lacks_two_classes_by_hand() -> None:
    """The split lacks classes 1 and 3; one crop of 0 is predicted as 1, one of 2 as 3, and one of 2 as 0."""
    case = predicting([0, 0, 0, 1, 2, 2, 3, 0], [0, 0, 0, 0, 2, 2, 2, 2], 4)
    assert case.metrics["classes_present"] == 2
    assert case.metrics["recall_macro"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert case.metrics["f1_macro"] == pytest.approx((2 * 3 / (4 + 4) + 2 * 2 / (4 + 2)) / 2)
    assert case.metrics["acc_top1"] == pytest.approx(5 / 8)
    assert case.precision_K.tolist() == pytest.approx([3 / 4, 0, 1, 0]), "a prediction of an absent class is an error"
    assert case.recall_K.isnan().tolist() == [False, True, False, True]


def test_a_split_of_one_class_has_all_metrics_but_auroc() -> None:
    scores = example(20, 5, among=[2]).metrics
    assert math.isnan(scores.pop("auroc_macro"))
    assert scores["classes_present"] == 1
    assert scores["recall_macro"] == scores["acc_top1"]
    assert all(math.isfinite(value) for value in scores.values())


def test_calibration_error_by_hand_and_as_in_the_report() -> None:
    """With fewer crops than bins, each crop has its own bin."""
    confidences, correct = [0.95, 0.97, 0.92, 0.7, 0.62], [1, 0, 1, 1, 0]
    logits_NK = torch.tensor([[math.log(p / (1 - p)), 0.0] for p in confidences])
    case = evaluation(logits_NK, 1 - torch.tensor(correct))
    expected = np.mean([abs(p - is_correct) for p, is_correct in zip(confidences, correct, strict=True)])
    assert case.metrics["ece"] == pytest.approx(expected, abs=1e-6)
    case = example(400, 7)
    predictions = Predictions(case.logits_NK.numpy(), case.labels_N.numpy())
    assert case.metrics["ece"] == pytest.approx(calibration_error(predictions).value)


def test_ties_go_to_the_first_class_in_every_metric() -> None:
    """Accuracy, confusion matrix and numpy's argmax (of ONNX consumers) must agree on equal logits."""
    case = tied(500, 40, levels=3)
    accuracy = (case.logits_NK.numpy().argmax(axis=1) == case.labels_N.numpy()).mean()
    assert case.metrics["acc_top1"] == accuracy
    assert case.confusion_KK.diagonal().sum().item() / 500 == accuracy


def test_metrics_of_a_diverged_network_are_nan() -> None:
    scores = evaluation(torch.full((10, 4), math.nan), torch.arange(10) % 4).metrics
    assert [name for name in ("loss", "auroc_macro", "ece") if not math.isnan(scores[name])] == []


def collected(logits_NK: Tensor, labels_N: Tensor, indices_N: Tensor, collector: Collector | None = None) -> Evaluation:
    """Passes batches of four crops through a collector."""
    collector = collector or Collector()
    for rows in torch.arange(len(labels_N)).split(4):
        part = {"images": torch.zeros(0), "labels": labels_N[rows], "indices": indices_N[rows]}
        collector.add(logits_NK[rows], part)  # type: ignore[arg-type]
    return collector.evaluation()


def test_collector_keeps_the_order_and_restarts_empty() -> None:
    case, collector = example(10, 3), Collector()
    logits_NK = case.logits_NK.clone().requires_grad_().to(torch.bfloat16)
    found = collected(logits_NK, case.labels_N, case.indices_N, collector)
    torch.testing.assert_close(found.logits_NK, case.logits_NK, atol=0.05, rtol=0)
    assert found.logits_NK.dtype == torch.float32
    assert not found.logits_NK.requires_grad
    assert torch.equal(found.labels_N, case.labels_N)
    assert torch.equal(found.indices_N, case.indices_N)
    assert len(collected(logits_NK[:2], case.labels_N[:2], case.indices_N[:2], collector).labels_N) == 2


def test_collector_drops_the_padding() -> None:
    logits_NK, indices_N = example(6, 3).logits_NK, torch.tensor([4, PADDING, 0, 5, PADDING, 3])
    found = collected(logits_NK, torch.tensor([0, 1, 2, 0, ILLEGIBLE_INDEX, ILLEGIBLE_INDEX]), indices_N)
    assert found.indices_N.tolist() == [4, 0, 5]
    assert torch.equal(found.logits_NK, logits_NK[[0, 2, 3]])
    assert found.labels_N.tolist() == [0, 2, 0]
    assert found.illegible_indices_U.tolist() == [3]


def with_illegible(case: Evaluation, logits_UK: Tensor) -> Evaluation:
    """Adds illegible crops before and after the others, through a collector."""
    half, crops = len(logits_UK) // 2, len(case.labels_N) + len(logits_UK)
    labels = torch.full((crops,), ILLEGIBLE_INDEX)
    labels[half : half + len(case.labels_N)] = case.labels_N
    return collected(torch.cat([logits_UK[:half], case.logits_NK, logits_UK[half:]]), labels, torch.arange(crops))


LOGITS_UK = torch.randn(25, 4, generator=torch.Generator().manual_seed(1))


def test_illegible_crops_only_change_their_own_metric() -> None:
    plain = example(60, 4)
    case = with_illegible(plain, LOGITS_UK)
    assert torch.equal(case.logits_NK, plain.logits_NK)
    assert torch.equal(case.labels_N, plain.labels_N)
    assert case.indices_N.tolist() == list(range(12, 72))
    assert case.illegible_indices_U.tolist() == [*range(12), *range(72, 85)]
    assert torch.equal(case.illegible_logits_UK, LOGITS_UK)
    assert case.metrics | {"auroc_legible": None} == plain.metrics | {"auroc_legible": None}
    assert "auroc_legible" not in plain.metrics
    assert (plain.illegible, case.illegible) == (0, 25)


def test_auroc_legible_equals_scikit_learns() -> None:
    plain, logits_UK = example(60, 4), LOGITS_UK.round()
    case = with_illegible(evaluation(plain.logits_NK.round(), plain.labels_N), logits_UK)
    confidence = torch.cat([case.logits_NK, logits_UK]).double().softmax(dim=1).amax(dim=1).numpy()
    expected = sk.roc_auc_score([1] * 60 + [0] * 25, confidence)
    assert 0 < expected < 1
    assert case.metrics["auroc_legible"] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(case.illegible_confidence_U, confidence[60:])


def test_auroc_legible_is_nan_if_nothing_can_be_ranked() -> None:
    diverged = with_illegible(example(10, 4), torch.full((3, 4), math.nan))
    assert math.isnan(diverged.metrics["auroc_legible"])
    assert math.isfinite(diverged.metrics["acc_top1"])
    only = with_illegible(evaluation(torch.empty(0, 4), torch.empty(0, dtype=torch.int64)), torch.zeros(3, 4))
    assert math.isnan(only.metrics["auroc_legible"])
    assert math.isnan(only.metrics["acc_top1"])
