"""Synthetic numbers with known digits, and the digit classifier."""

import torch

from jersey.evaluation.known_digits import NUMBERS, known_digits, sample, standardized


def test_every_number_is_rendered_and_classified_correctly() -> None:
    known = known_digits(64)
    assert known.numbers == NUMBERS
    found_NDT = known.similarities(known.images(), known.box_points())
    digits_ND = found_NDT.argmax(dim=2).tolist()
    predicted = [
        "".join(map(str, digits_D[: len(number)])) for number, digits_D in zip(known.numbers, digits_ND, strict=True)
    ]
    assert predicted == [*known.numbers]
    # Dark on light is classified alike.
    torch.testing.assert_close(known.similarities(255 - known.images(), known.box_points()), found_NDT)


def test_boxes_contain_the_ink_from_left_to_right() -> None:
    known = known_digits(64)
    for number, ink_DHW, boxes_D4 in zip(known.numbers, known.ink_NDHW, known.boxes_ND4, strict=True):
        for place in range(len(number)):
            left, top, right, bottom = boxes_D4[place].int().tolist()
            ink_HW = ink_DHW[place] > 0.5
            assert ink_HW[top:bottom, left:right].sum() == ink_HW.sum() > 20
        if len(number) == 2:
            assert boxes_D4[0, 0] < boxes_D4[1, 0]
        else:
            assert ink_DHW[1].max() == 0


def test_corners_enclose_the_whole_number() -> None:
    known = known_digits(64)
    for ink_DHW, corners_22 in zip(known.ink_NDHW, known.corners().tolist(), strict=True):
        rows, columns = (ink_DHW > 0.5).any(dim=0).nonzero().T
        assert corners_22 == [
            [columns.min().item(), rows.min().item()],
            [columns.max().item() + 1, rows.max().item() + 1],
        ]


def test_sampling_at_pixel_centers_returns_pixels_and_standardized_products_are_correlations() -> None:
    images_NHW = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[[0.5, 0.5], [6.5, 4.5], [3.5, 1.5], [-2.0, 1.0]]])
    seen = sample(images_NHW, points.expand(2, 1, -1, -1))
    assert torch.allclose(seen[:, 0, 0], images_NHW[:, 0, 0])
    assert torch.allclose(seen[:, 0, 1], images_NHW[:, 4, 6])
    assert torch.allclose(seen[:, 0, 2], images_NHW[:, 1, 3])
    assert (seen[:, 0, 3] == 0).all()
    first, second = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))
    correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
    torch.testing.assert_close(standardized(first) @ standardized(second), correlation)
    assert (standardized(torch.full((9,), 3.0)) == 0).all()
