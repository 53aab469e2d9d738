"""Every kind of damaged input has its expected outcome, and harmful actions would be detected."""

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import payload
from helpers.watched import watched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from robustness.damaged import GOOD, IMAGES, TABLE, Kind
from robustness.fuzz import TARGETS, mutated
from robustness.image_readers import clean_set, opened
from robustness.label_readers import LAYOUTS
from robustness.readers import outcome

from jersey.core.errors import UserError
from jersey.data.audit import audit_folder

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
REFUSED = {"weights", "safetensors"}  # the weights of a whole network would be too large to mutate


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: f"{kind.reader}: {kind.name}")
def test_each_kind_has_its_expected_outcome(kind: Kind) -> None:
    assert re.match(kind.expected, outcome(kind.reader, kind.content), flags=re.DOTALL)


@pytest.mark.parametrize("reader", sorted({*GOOD} - REFUSED))
def test_valid_content_is_read(reader: str) -> None:
    assert outcome(reader, GOOD[reader]).partition(";")[0] == "read"


def test_all_bad_images_of_a_data_set_are_skipped_and_counted(tmp_path: Path) -> None:
    root = clean_set(tmp_path / "set")
    for kind in IMAGES:
        file, make = kind.content
        make(root / "train" / "23" / file)
    bad = [kind for kind in IMAGES if kind.expected.startswith("refused")]
    with pytest.raises(UserError, match=f"{len(bad)} of .* images cannot be used: .*; and {len(bad) - 5} more; "):
        opened(root)
    data = opened(root, "skip")
    assert len(data.skipped["train"]) == len(bad)
    assert len([each for each in audit_folder(root).findings if each.kind == "bad_image"]) == len(bad)


def outcomes(name: str, examples: int) -> set[str]:
    """Returns the outcomes of random examples: "read" and "refused", or one of them."""
    found: set[str] = set()

    @settings(max_examples=examples, suppress_health_check=CHECKS, derandomize=True)  # the command has other seeds
    @given(TARGETS[name])
    def attempt(example: object) -> None:
        found.add(re.split(r"\W", outcome(name, example))[0])

    attempt()
    return found


@pytest.mark.parametrize("name", TARGETS)
def test_random_damage_is_read_or_refused(name: str) -> None:
    found = outcomes(name, 10 if name in LAYOUTS else 60)  # a whole data set is prepared for each label file
    assert found <= {"read", "refused"}
    assert "refused" in found or name in LAYOUTS


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_much_random_damage_is_read_or_refused(name: str) -> None:
    # Each label file is that of a data set, and each file of weights that of a ResNet, which is built for it.
    examples = 60 if name in (*LAYOUTS, "weights", "safetensors") else 300
    assert outcomes(name, examples) == ({"refused"} if name in REFUSED else {"read", "refused"})


@settings(max_examples=20, derandomize=True)
@given(st.binary(min_size=1, max_size=30))
def test_without_mutations_the_content_is_unchanged(content: bytes) -> None:
    assert mutated(content, []) == content


@pytest.mark.parametrize(
    ("load", "content"),
    [
        *((lambda file: torch.load(file, weights_only=False), content) for content in payload.CHECKPOINTS.values()),
        *((lambda file: np.load(file, allow_pickle=True), content) for content in payload.ARRAYS.values()),
    ],
)
def test_a_payload_that_is_unpickled_runs_and_is_detected(load: Callable[[io.BytesIO], object], content: bytes) -> None:
    """Otherwise the kinds with a payload would prove nothing."""
    with watched() as seen, contextlib.suppress(RuntimeError):  # raised for a plain pickle after it has run
        load(io.BytesIO(content))
    assert payload.MARKER.exists()
    payload.MARKER.unlink()
    assert any(str(payload.MARKER) in action for action in seen)
