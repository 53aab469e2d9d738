"""The compositional head: logits by hand, neutral initial weights, and an unbiased open vocabulary."""

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.heads import CompositionalHead
from jersey.models.parts import NUMBERS

LABELS = Labels(("0", "00", "7", "23", "A7"))
FEATURES = 6


@pytest.fixture
def features_BD() -> Tensor:
    return torch.randn(9, FEATURES, generator=torch.Generator().manual_seed(1))


def digits_alone(head: CompositionalHead, features_BD: Tensor) -> Tensor:
    """Returns logits [B,N] of all numbers by length and digits alone."""
    return (head.parts(features_BD) @ head.open_vocabulary_composition_PN).masked_fill(~head.predictable_N, -torch.inf)


def trained(labels: Labels = LABELS, *, seed: int = 0, holistic_scale: float = 0.5) -> CompositionalHead:
    """A head with random weights everywhere."""
    head = CompositionalHead(features=FEATURES, labels=labels, holistic_scale=holistic_scale)
    generator = torch.Generator().manual_seed(seed)
    for parameter in head.parameters():
        nn.init.normal_(parameter, generator=generator)
    return head


def test_logits_by_hand() -> None:
    """Length 1 adds 1 and length 2 adds 2; the tens digit adds 10 times its value, the ones digit 100 times."""
    head = trained()
    with torch.no_grad():
        head.holistic.bias.copy_(torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0]))
        head.parts.bias.copy_(torch.cat([torch.tensor([1, 2]), 10 * torch.arange(10), 100 * torch.arange(10)]))
    logits_1K = head(torch.zeros(1, FEATURES))
    torch.testing.assert_close(logits_1K, torch.tensor([[0.1 + 1, 0.2 + 2, 0.3 + 701, 0.4 + 322, 0.5]]))
    alone_N = dict(zip(NUMBERS, digits_alone(head, torch.zeros(1, FEATURES))[0].tolist(), strict=True))
    assert [alone_N[number] for number in ("0", "00", "7", "03", "07", "27")] == [1, 2, 701, 302, 702, 722]


def test_initially_no_digit_and_no_length_is_favored(features_BD: Tensor) -> None:
    head = CompositionalHead(features=FEATURES, labels=LABELS, holistic_scale=0.5)
    torch.testing.assert_close(head(features_BD), 0.5 * head.holistic(features_BD))
    scores_BN = digits_alone(head, features_BD)
    assert scores_BN[scores_BN.isfinite()].abs().max() == 0


def test_every_weight_gets_an_initial_gradient(features_BD: Tensor) -> None:
    head = CompositionalHead(features=FEATURES, labels=Labels(NUMBERS))
    nn.functional.cross_entropy(head(features_BD), torch.arange(9) * 12).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad.flatten(1) if parameter.ndim > 1 else parameter.grad[:, None]).any(dim=1).all(), name


def test_without_the_holistic_term_logits_are_sums_of_digits(features_BD: Tensor) -> None:
    head = trained(Labels(("0", "00", "23")), holistic_scale=0)
    scores_BN = head.open_vocabulary_logits(features_BD)
    torch.testing.assert_close(head(features_BD), scores_BN[:, [NUMBERS.index(name) for name in ("0", "00", "23")]])


@pytest.mark.parametrize(
    ("labels", "predictable"),
    [
        (("23", "45", "7", "007"), {"3", "5", "7", "23", "25", "27", "43", "45", "47"}),
        (("23", "45"), {"23", "25", "43", "45"}),
        (("3", "5", "A7"), {"3", "5"}),
        (NUMBERS, set(NUMBERS)),
    ],
)
def test_numbers_of_trained_lengths_and_digits_can_be_predicted(labels: tuple[str, ...], predictable: set[str]) -> None:
    scores_BN = trained(Labels(labels)).open_vocabulary_logits(torch.ones(2, FEATURES))
    assert not scores_BN.isnan().any()
    assert {
        number for number, score in zip(NUMBERS, scores_BN[1].tolist(), strict=True) if score > -1e30
    } == predictable


@hypothesis.given(st.integers(0, 10**6), st.floats(0.01, 3))
def test_labels_keep_their_differences_and_are_never_raised(seed: int, holistic_scale: float) -> None:
    labels = Labels(("0", "00", "3", "23", "25", "41", "A7"))
    head = trained(labels, seed=seed, holistic_scale=holistic_scale)
    features_BD = torch.randn(20, FEATURES, generator=torch.Generator().manual_seed(seed + 1))
    alone_BN = digits_alone(head, features_BD)
    both_BN = head.open_vocabulary_logits(features_BD)
    columns = [NUMBERS.index(name) for name in labels.names[:-1]]
    shift_BK = head(features_BD)[:, :-1] - both_BN[:, columns]
    torch.testing.assert_close(shift_BK, shift_BK[:, :1].expand_as(shift_BK), atol=1e-4, rtol=1e-4)
    change_BN = (both_BN - alone_BN).nan_to_num()  # the difference of two infinities is NaN
    others = sorted(set(range(len(NUMBERS))) - set(columns))
    assert change_BN[:, others].abs().max() == 0
    torch.testing.assert_close(change_BN[:, columns].amax(dim=1), torch.zeros(20), atol=1e-5, rtol=0)


def test_all_weights_are_initialized_and_checkpoints_have_no_constants() -> None:
    head = trained()
    assert set(head.state_dict()) == {"holistic.weight", "holistic.bias", "parts.weight", "parts.bias"}
    with torch.device("meta"):
        without_values = CompositionalHead(features=FEATURES, labels=LABELS)
    assert [value.shape for value in without_values.parameters()] == [value.shape for value in head.parameters()]
    assert all(value.is_meta for value in (*without_values.parameters(), *without_values.buffers()))


@pytest.mark.parametrize(
    ("labels", "holistic_scale", "sentence"),
    [
        (("A7", "100"), 0.5, "needs labels that are numbers of one or two digits"),
        (("7", "100"), 0.0, "holistic_scale=0 leaves the label '100'"),
        (("7", "8"), -0.5, "holistic_scale=-0.5 is not a finite number"),
        (("7", "8"), float("inf"), "holistic_scale=inf is not a finite number"),
        (("7", "8"), float("nan"), "holistic_scale=nan is not a finite number"),
    ],
)
def test_invalid_settings_raise_an_error(labels: tuple[str, ...], holistic_scale: float, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        CompositionalHead(features=FEATURES, labels=Labels(labels), holistic_scale=holistic_scale)
