"""MixUp and CutMix agree with torchvision's, which sample from the global generator.

Shapes: B batch, C channels (3), H W size, K classes, J = K + 1.
"""

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from jersey.augment.mixing import CutMix, Mix, MixUp, box_side
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_INDEX

CLASSES, HEIGHT_PX, WIDTH_PX = 5, 12, 20
LABELS_B = torch.tensor([4, 0, 0, 2, 1, 3])


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, HEIGHT_PX, WIDTH_PX), dtype=torch.uint8, generator=generator(0))


def mixed(mix: Mix, seed: int) -> tuple[Tensor, Tensor]:
    """Returns images and targets without the column of illegible crops, which is 0 here."""
    mixed_BCHW, targets_BJ = mix(images(), LABELS_B, generator(seed), num_classes=CLASSES)
    assert targets_BJ.shape == (6, CLASSES + 1)
    assert not targets_BJ[:, CLASSES].any()
    return mixed_BCHW, targets_BJ[:, :CLASSES]


def torchvisions(transform: v2.Transform, **params: object) -> tuple[Tensor, Tensor]:
    params |= {"labels": LABELS_B, "batch_size": len(LABELS_B)}
    return transform.transform(images().float(), params), transform.transform(LABELS_B, params)


@pytest.mark.parametrize("seed", range(3))
def test_mixup_and_cutmix_agree_with_torchvision_for_the_same_lam_and_box(seed: int) -> None:
    mixed_BCHW, targets_BK = mixed(MixUp(alpha=0.8), seed)
    lam = targets_BK[0, LABELS_B[0]].item()  # its neighbor has another label
    assert 0 < lam < 1
    expected_BCHW, expected_BK = torchvisions(v2.MixUp(num_classes=CLASSES), lam=lam)
    torch.testing.assert_close(mixed_BCHW, expected_BCHW, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(targets_BK, expected_BK)

    mixed_BCHW, targets_BK = mixed(CutMix(alpha=1.0), seed)
    changed_HW = (mixed_BCHW != images()).any(dim=(0, 1))
    rows, columns = (changed_HW.any(dim=side).nonzero()[:, 0].tolist() for side in (1, 0))
    x1, y1, x2, y2 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    lam = 1 - (x2 - x1) * (y2 - y1) / (HEIGHT_PX * WIDTH_PX)
    expected_BCHW, expected_BK = torchvisions(v2.CutMix(num_classes=CLASSES), box=(x1, y1, x2, y2), lam_adjusted=lam)
    assert torch.equal(mixed_BCHW, expected_BCHW)
    torch.testing.assert_close(targets_BK, expected_BK)


def test_boxes_agree_with_torchvision_for_the_same_lam_and_center() -> None:
    transform = v2.CutMix(alpha=1.0, num_classes=CLASSES)
    for seed in range(100):
        torch.manual_seed(seed)
        params = transform.make_params([images()])
        torch.manual_seed(seed)
        lam = transform._dist.sample(()).item()
        columns, rows = (
            box_side(size_px, lam, lambda high: int(torch.randint(high, (1,)))) for size_px in (WIDTH_PX, HEIGHT_PX)
        )
        assert (columns.start, rows.start, columns.stop, rows.stop) == params["box"]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_lam_is_beta_distributed(alpha: float) -> None:
    lams = np.array([mixed(MixUp(alpha=alpha), seed)[1][0, LABELS_B[0]].item() for seed in range(800)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(lams.mean() - 0.5) < 4 * (variance / len(lams)) ** 0.5
    assert lams.var() == pytest.approx(variance, rel=0.15)


def test_boxes_are_evenly_distributed() -> None:
    touched_HW = torch.zeros(HEIGHT_PX, WIDTH_PX)
    for seed in range(400):
        touched_HW += (mixed(CutMix(alpha=1.0), seed)[0] != images()).any(dim=(0, 1))
    assert touched_HW.min() > 0
    for flipped_HW in (touched_HW.flip(0), touched_HW.flip(1)):
        assert (touched_HW - flipped_HW).abs().mean() < 0.2 * touched_HW.mean()


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_p_is_the_probability_of_a_batch(kind: type[Mix]) -> None:
    mix, unmixed = kind(alpha=1.0, p=0.3), 0
    for seed in range(500):
        mixed_BCHW, targets_BK = mixed(mix, seed)
        if torch.equal(mixed_BCHW, images().float()):
            unmixed += 1
            assert torch.equal(targets_BK, torch.nn.functional.one_hot(LABELS_B, CLASSES).float())
    assert unmixed / 500 == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_the_generator_is_the_only_randomness(kind: type[Mix]) -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  # the global state is the point
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again, other = (mixed(kind(alpha=1.0), seed) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    for images_BCHW, targets_BK in (first, other):
        torch.testing.assert_close(targets_BK.sum(dim=1), torch.ones(6))
        assert images_BCHW.dtype == torch.float32
        assert 0 <= images_BCHW.min() <= images_BCHW.max() <= 255.001
        assert targets_BK[2, 0] == pytest.approx(1)  # 0 after 0: the same label twice


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_an_illegible_crop_has_a_fraction_in_the_last_column(kind: type[Mix]) -> None:
    labels_B = torch.tensor([4, ILLEGIBLE_INDEX, ILLEGIBLE_INDEX, 2, 1, 3])
    images_BCHW, targets_BJ = kind(alpha=1.0)(images(), labels_B, generator(3), num_classes=CLASSES)
    expected_BCHW, expected_BK = mixed(kind(alpha=1.0), 3)
    assert torch.equal(images_BCHW, expected_BCHW), "labels change no image"
    own = expected_BK[0, 4].item()
    assert 0 < own < 1
    none_B = torch.tensor([0, own, 1, 1 - own, 0, 0])
    torch.testing.assert_close(targets_BJ[:, CLASSES], none_B)
    torch.testing.assert_close(targets_BJ.sum(dim=1), torch.ones(6))
    assert targets_BJ[3, 2].item() == pytest.approx(own)
    assert torch.equal(targets_BJ[4:, :CLASSES], expected_BK[4:])


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0, "p": 0.0}, {"alpha": 1, "p": 2}])
def test_settings_that_mix_nothing_raise_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"module\.mix"):
        MixUp(**wrong)
