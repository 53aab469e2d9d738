"""Hashes of rendered pixels, to be updated together with `GENERATOR_VERSION`."""

import hashlib

import numpy as np
import pytest

from jersey.synth.crop import KINDS, LEGIBLE, Crop, render_crop
from jersey.synth.settings import GENERATOR_VERSION
from jersey.synth.tracklet import render_tracklet
from jersey.synth.typefaces import TRAIN, UNSEEN
from jersey.synth.varied import render_varied


def crops() -> list[Crop]:
    return [
        render_crop(number, rng=np.random.default_rng(seed), typefaces=typefaces, size_px=48)
        for typefaces in (TRAIN, UNSEEN)
        for seed, number in enumerate(["0", "00", "7", "23", "68", "41"])
    ]


def illegible() -> list[Crop]:
    return [
        render_crop("23", rng=np.random.default_rng(seed), typefaces=TRAIN, size_px=48, kind=kind)
        for seed, kind in enumerate(KINDS.values())
    ]


def varied() -> list[Crop]:
    return [
        render_varied("23", rng=np.random.default_rng(seed), typefaces=TRAIN, size_px=48, kind=kind)
        for seed, kind in enumerate([*[LEGIBLE] * 12, *KINDS.values()])
    ]


def tracklet() -> list[Crop]:
    return list(render_tracklet("41", frames=12, rng=np.random.default_rng(0), typefaces=UNSEEN, size_px=48))


@pytest.mark.parametrize(
    ("render", "sha256"),
    [
        (crops, "f7049712f25476468b259343b0ae866d8be2fb80612a9e45e9e1b5e4b3951430"),
        (illegible, "036ed46608979d4958dd5d1ea4713a5dcc211cf96c0ac00cb8e1dfebcacd65b8"),
        (varied, "5de2fcbf58933521dbc719ca73ba7d8d60724c8aa1a67e2dd2ed054b08321afb"),
        (tracklet, "8409ce029f23872d103149a42bc0d781d8f3dddb5f395196d6d89c8f0fb87390"),
    ],
)
def test_seeds_reproduce_the_pixels_of_this_version(render, sha256: str) -> None:
    assert GENERATOR_VERSION == 1
    pixels = hashlib.sha256(b"".join(part.tobytes() for crop in render() for part in (crop.image_HW3, crop.mask_HW)))
    assert pixels.hexdigest() == sha256
