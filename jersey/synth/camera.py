"""Camera model: view and folds map the flat painting to the picture, which is then degraded.

View (rotation, shear, perspective, shift) and folds form one smooth map from picture to painting, evaluated at the
nodes of a coarse mesh that Pillow interpolates. Light, defocus, motion, distance, sensor noise and compression follow,
limited by the size of the digits.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.floating]
# Pillow's MESH: boxes of the picture, each with the corners of the quadrilateral of the painting that fills it.
Mesh = list[tuple[tuple[int, int, int, int], tuple[float, ...]]]

_MESH_CELLS = 8


@dataclass(frozen=True)
class View:
    """A homography from picture to painting.

    Attributes:
        matrix_33: matrix on homogeneous coordinates (x, y, 1) in pixels.
    """

    matrix_33: Floats

    @classmethod
    def random(cls, *, picture_px: int, painting_px: int, rng: np.random.Generator) -> "View":
        """Samples a mild view of the middle of the painting."""
        angle_deg = np.clip(rng.normal(0, 5.5), -16, 16)
        x_2 = (rng.uniform(1.0, 1.3), rng.normal(0, 0.08))  # a back that is turned away is narrower
        squeeze_33 = np.array([(*x_2, 0), (rng.normal(0, 0.03), rng.uniform(0.9, 1.1), 0), (0, 0, 1)])
        tilt_2 = rng.normal(0, 0.12, 2).clip(-0.25, 0.25)
        return cls.of_middle(angle_deg, squeeze_33, tilt_2, picture_px=picture_px, painting_px=painting_px)

    @classmethod
    def of_middle(
        cls, angle_deg: float, squeeze_33: Floats, tilt_2: Floats, *, picture_px: int, painting_px: int
    ) -> "View":
        """Returns the view of the middle of the painting.

        Args:
            angle_deg: rotation in degrees.
            squeeze_33: matrix of scale and shear.
            tilt_2: change of the scale across the picture along x and y, which is its perspective.
            picture_px: side of the picture.
            painting_px: side of the painting.
        """
        cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
        rotate_33 = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        tilt_33 = np.array([(1, 0, 0), (0, 1, 0), (*tilt_2 / picture_px, 1)])
        to_center_33, from_center_33 = (_shift(px / 2, px / 2) for px in (-picture_px, painting_px))
        return cls(from_center_33 @ rotate_33 @ squeeze_33 @ tilt_33 @ to_center_33)

    def shifted(self, dx_px: float, dy_px: float) -> "View":
        """Returns the view with its contents moved right and down in the picture."""
        return View(self.matrix_33 @ _shift(-dx_px, -dy_px))

    def narrowed(self, factor: float, picture_px: int) -> "View":
        """Returns the view with its contents narrowed by a factor toward the middle of the picture."""
        squeeze_33 = np.diag([factor, 1.0, 1.0])
        middle_px = picture_px / 2
        return View(self.matrix_33 @ _shift(middle_px, 0) @ squeeze_33 @ _shift(-middle_px, 0))

    def to_painting(self, points_N2: Floats) -> Floats:
        """Maps points of the picture to the painting."""
        homogeneous_N3 = np.column_stack([points_N2, np.ones(len(points_N2))]) @ self.matrix_33.T
        return homogeneous_N3[:, :2] / homogeneous_N3[:, 2:]

    def to_picture(self, points_N2: Floats) -> Floats:
        """Maps points of the painting to the picture."""
        return View(np.linalg.inv(self.matrix_33)).to_painting(points_N2)


def _shift(dx_px: float, dy_px: float) -> Floats:
    return np.array([[1, 0, dx_px], [0, 1, dy_px], [0, 0, 1.0]])


@dataclass(frozen=True)
class Folds:
    """A height field of the cloth over the picture, as a sum of straight ridges.

    Attributes:
        ridges_R5: center x and y, direction in radians, half width and height; lengths are fractions of the side.
    """

    ridges_R5: Floats

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Folds":
        """Samples up to eight ridges, most of which slant down from the shoulders."""
        count = int(rng.integers(2, 9))
        direction = np.where(rng.random(count) < 0.5, 0.9, 2.2) + rng.normal(0, 0.45, count)
        columns = (
            rng.uniform(0, 1, count), rng.uniform(0.1, 1.1, count), direction,
            rng.uniform(0.025, 0.09, count), rng.normal(0, 1, count),
        )  # fmt: skip
        return cls(np.column_stack(columns))

    def heights(self, points_N2: Floats) -> Floats:
        """Returns the height, about -1 to 1, at points in fractions of the picture's side."""
        x_R, y_R, direction_R, width_R, height_R = self.ridges_R5.T
        dx_NR, dy_NR = points_N2[:, :1] - x_R, points_N2[:, 1:] - y_R
        along_NR = dx_NR * np.cos(direction_R) + dy_NR * np.sin(direction_R)
        across_NR = dy_NR * np.cos(direction_R) - dx_NR * np.sin(direction_R)
        bell_NR = np.exp(-0.5 * ((across_NR / width_R) ** 2 + (along_NR / 0.28) ** 2))
        return bell_NR @ height_R

    def slopes(self, cells: int, light: float) -> Floats:
        """Returns the slope of the cloth along the light's direction (radians) on a grid of cells x cells."""
        centers = (np.arange(cells) + 0.5) / cells
        points_N2 = np.stack(np.meshgrid(centers, centers), -1).reshape(-1, 2)
        step = 0.01 * np.array([np.cos(light), np.sin(light)])
        slope_N = (self.heights(points_N2 + step) - self.heights(points_N2 - step)) / 0.02
        return slope_N.reshape(cells, cells)


def mesh(view: View, folds: Folds, *, picture_px: int, painting_px: int, depth: float) -> Mesh:
    """Returns the source of each cell of the picture; sources outside of the painting are moved to its edge.

    Folds displace the cloth by up to about `depth`, a fraction of the picture's side.
    """
    nodes_px = np.round(np.linspace(0, picture_px, _MESH_CELLS + 1)).astype(int)
    nodes_YX2 = np.stack(np.meshgrid(nodes_px, nodes_px), -1)
    points_N2 = nodes_YX2.reshape(-1, 2).astype(float)
    fractions_N2 = points_N2 / picture_px
    moved_N2 = np.column_stack([folds.heights(fractions_N2), folds.heights(fractions_N2[:, ::-1])])
    source_N2 = view.to_painting(points_N2 + depth * picture_px * moved_N2).clip(0, painting_px - 1)
    at_YX2, a, b = source_N2.reshape(nodes_YX2.shape), slice(None, -1), slice(1, None)
    corners_YX8 = np.concatenate([at_YX2[a, a], at_YX2[b, a], at_YX2[b, b], at_YX2[a, b]], axis=2)
    boxes_YX4 = np.concatenate([nodes_YX2[a, a], nodes_YX2[b, b]], axis=2)
    cells = zip(boxes_YX4.reshape(-1, 4).tolist(), corners_YX8.reshape(-1, 8).tolist(), strict=True)
    return [(tuple(box), tuple(corners)) for box, corners in cells]


def warp(painting: Image.Image, cells: Mesh, picture_px: int) -> Image.Image:
    """Resamples the painting through a mesh."""
    return painting.transform((picture_px, picture_px), Image.Transform.MESH, cells, Image.Resampling.BILINEAR)


# A function that blurs a picture, given the height of its digits in pixels.
Blur = Callable[[Image.Image, float, np.random.Generator], Image.Image]

# Below this height the digits of a number cannot be distinguished.
_MIN_DIGIT_PX = 13.0


def degrade(
    picture: Image.Image, *, digit_height_px: float, rng: np.random.Generator, blur: Blur | None = None
) -> Image.Image:
    """Degrades an RGB picture; the result has the same size.

    Blur and loss of resolution keep digits of this height legible, unless `blur` replaces them.
    """
    picture = (blur or _legible_blur)(_light(picture, rng), digit_height_px, rng)
    if rng.random() < 0.7:
        picture = noise(picture, rng.uniform(0.005, 0.05), rng)
    return jpeg(picture, quality=int(rng.integers(28, 90))) if rng.random() < 0.7 else picture


def _legible_blur(picture: Image.Image, digit_height_px: float, rng: np.random.Generator) -> Image.Image:
    count = int(rng.choice(3, p=(0.3, 0.5, 0.2)))
    strength = 0.6 if count == 2 else 1.0
    min_factor = max(0.3, _MIN_DIGIT_PX / digit_height_px / strength)
    blurs: tuple[Callable[[Image.Image], Image.Image], ...] = (
        lambda sharp: defocus(sharp, digit_height_px * rng.uniform(0.01, 0.05 * strength)),
        lambda sharp: motion_blur(sharp, digit_height_px * rng.uniform(0.04, 0.16 * strength), rng.uniform(0, np.pi)),
        lambda sharp: lose_resolution(sharp, rng.uniform(min(1.0, min_factor), 1.0), rng),
    )
    for index in rng.permutation(3)[:count]:
        picture = blurs[index](picture)
    return picture


def _light(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Changes exposure, contrast and color cast, and adds a gradient across the picture."""
    image_HW3 = np.asarray(picture, dtype=np.float32) / 255
    gain = np.exp(rng.normal(-0.08, 0.16)).clip(0.65, 1.2) * (1 + rng.normal(0, 0.05, 3).clip(-0.1, 0.1))
    gradient = np.linspace(-1, 1, picture.width) * rng.uniform(-0.2, 0.2)
    rise = np.linspace(-1, 1, picture.height)[:, None] * rng.uniform(-0.2, 0.2)
    lit_HW3 = image_HW3 * gain.astype(np.float32) * (1 + gradient + rise).astype(np.float32)[:, :, None]
    contrast, gray = rng.uniform(0.75, 1.15), rng.uniform(0.3, 0.6)
    return to_image((lit_HW3 - gray) * contrast + gray)


def defocus(picture: Image.Image, radius_px: float) -> Image.Image:
    """Blurs a picture equally in all directions."""
    return picture.filter(ImageFilter.GaussianBlur(radius_px))


def motion_blur(picture: Image.Image, reach_px: float, angle: float) -> Image.Image:
    """Simulates motion blur: averages copies of the picture along a straight line."""
    border_px = int(reach_px) + 1
    wide = Image.fromarray(np.pad(np.asarray(picture), ((border_px,), (border_px,), (0,)), mode="edge"))
    steps_px = np.linspace(-0.5, 0.5, max(2, round(reach_px) + 1)) * reach_px
    total_HW3 = np.zeros((picture.height, picture.width, 3), np.float32)
    for step_px in steps_px:
        shift = (1, 0, border_px + step_px * np.cos(angle), 0, 1, border_px + step_px * np.sin(angle))
        shifted = wide.transform(picture.size, Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
        total_HW3 += np.asarray(shifted, dtype=np.float32)
    return to_image(total_HW3 / (255 * len(steps_px)))


def lose_resolution(picture: Image.Image, factor: float, rng: np.random.Generator) -> Image.Image:
    """Simulates distance: shrinks the picture by a factor below 1 and enlarges it again."""
    small = (max(2, round(picture.width * factor)), max(2, round(picture.height * factor)))
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)
    enlarge = Image.Resampling(rng.choice(filters, p=(0.5, 0.4, 0.1)))
    return picture.resize(small, Image.Resampling.BOX).resize(picture.size, enlarge)


def noise(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Adds sensor noise with a deviation of `strength`, a fraction of the range, and half of it in color."""
    gray_HW1, color_HW3 = (
        rng.standard_normal((picture.height, picture.width, bands), dtype=np.float32) for bands in (1, 3)
    )
    return to_image(np.asarray(picture, dtype=np.float32) / 255 + strength * (gray_HW1 + 0.5 * color_HW3))


def jpeg(picture: Image.Image, **settings: Any) -> Image.Image:
    """Compresses an RGB picture as a JPEG with Pillow's settings, and decodes it again."""
    file = io.BytesIO()
    picture.save(file, "JPEG", **settings)
    with Image.open(file) as compressed:
        return compressed.convert("RGB")


def to_image(image_HW3: Floats) -> Image.Image:
    """Returns the RGB picture of values between 0 and 1; others are clipped."""
    return Image.fromarray((image_HW3 * 255 + 0.5).clip(0, 255).astype(np.uint8))
