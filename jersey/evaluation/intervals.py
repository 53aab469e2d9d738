"""How exactly a share is known."""

from math import sqrt


def wilson_interval(right: int, crops: int, *, z: float = 1.96) -> tuple[float, float]:
    """The interval that holds a share with 95 % confidence, sound for few crops and near 0 and 1 too.

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.
    """
    share = right / crops
    center = share + z**2 / (2 * crops)
    half = z * sqrt(share * (1 - share) / crops + z**2 / (4 * crops**2))
    return (center - half) / (1 + z**2 / crops), (center + half) / (1 + z**2 / crops)
