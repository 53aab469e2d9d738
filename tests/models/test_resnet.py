"""Weights from torchvision's files, and the error message if they are not available."""

import io
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.error import HTTPError, URLError

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from jersey.core.errors import UserError
from jersey.models.resnet import resnet
from jersey.report.model_profile import flops

URL = models.ResNet18_Weights.DEFAULT.url


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """torchvision's network with 1000 classes, and batch statistics that differ from the initial ones."""
    torch.manual_seed(0)
    network = models.resnet18(weights=None)
    with torch.no_grad():
        network(torch.randn(8, 3, 32, 32))
    return network.eval()


@pytest.fixture(scope="module")
def weights(trained: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(trained.state_dict(), path)
    return path


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def features(backbone: nn.Module) -> Tensor:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return backbone.eval()(images)


def features_of(trained: nn.Module) -> Tensor:
    body = nn.Sequential(*list(trained.children())[:-1], nn.Flatten())
    return features(body)


def test_a_local_file_has_torchvisions_features(trained: nn.Module, weights: Path) -> None:
    backbone, size = resnet("resnet18", weights=str(weights))
    assert size == 512
    torch.testing.assert_close(features(backbone), features_of(trained))
    torch.save(backbone.state_dict(), body := weights.with_name("body.pth"))  # has no classifier
    torch.testing.assert_close(features(resnet("resnet18", weights=str(body))[0]), features_of(trained))


def test_downloaded_weights_are_loaded_from_torchs_cache(trained: nn.Module, weights: Path, torch_home: Path) -> None:
    (torch_home / Path(URL).name).write_bytes(weights.read_bytes())
    backbone, _ = resnet("resnet18", weights="imagenet")
    torch.testing.assert_close(features(backbone), features_of(trained))


@pytest.mark.parametrize(("architecture", "size"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)])
def test_the_number_of_features_is_correct(architecture: str, size: int) -> None:
    backbone, count = resnet(architecture, weights=None)  # type: ignore[arg-type]
    assert count == size == features(backbone).shape[1]
    again, _ = resnet(architecture, weights=None)  # type: ignore[arg-type]
    assert not torch.equal(features(again), features(backbone))


def positions(backbone: nn.Module, size_px: int) -> list[int]:
    """Returns the width of the output of each stage."""
    sides: list[int] = []
    hooks = [
        backbone.get_submodule(f"layer{stage}").register_forward_hook(
            lambda _, __, output: sides.append(output.shape[3])
        )
        for stage in (1, 2, 3, 4)
    ]
    with torch.no_grad():
        backbone.eval()(torch.zeros(1, 3, size_px, size_px))
    for hook in hooks:
        hook.remove()
    return sides


def test_the_small_stem_has_twice_the_resolution_at_four_times_the_flops() -> None:
    standard, _ = resnet("resnet18", weights=None)
    small, size = resnet("resnet18", weights=None, stem="small")
    assert size == 512
    assert positions(standard, 64) == [16, 8, 4, 2]
    assert positions(small, 64) == [32, 16, 8, 4]
    crop_1CHW = torch.zeros(1, 3, 64, 64)
    first = flops(standard.conv1, crop_1CHW)  # type: ignore[arg-type]  # the stubs of a module's attributes
    assert flops(small, crop_1CHW) - first == 4 * (flops(standard, crop_1CHW) - first)


def test_the_small_stem_loads_the_same_weights(trained: nn.Module, weights: Path) -> None:
    small, _ = resnet("resnet18", weights=str(weights), stem="small")
    body = nn.Sequential(
        *(part for name, part in trained.named_children() if name not in ("maxpool", "fc")), nn.Flatten()
    )
    torch.testing.assert_close(features(small), features(body))
    assert not torch.allclose(features(small), features_of(trained))


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


BAD_FILES: dict[str, Callable[[bytes], bytes | None]] = {
    "absent": lambda _: None,
    "empty": lambda _: b"",
    "truncated at the start": lambda good: good[:100],
    "truncated at the end": lambda good: good[:-1000],
    "a web page": lambda _: b"<!DOCTYPE html><html>404</html>",
    "a text beginning with a": lambda _: b"a note\n",
    "a text beginning with J": lambda _: b"Jo",
    "a list": lambda _: saved([1, 2]),
    "a whole module": lambda _: saved(nn.Linear(2, 2)),
    "a checkpoint around it": lambda _: saved({"state_dict": {"conv1.weight": torch.ones(1)}, "epoch": 3}),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_a_user_error_that_names_it(weights: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.pth"
    if (content := BAD_FILES[kind](weights.read_bytes())) is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights=\S*bad\.pth .*; give a torchvision \.pth file") as caught:
        resnet("resnet18", weights=str(path))
    assert "\n" not in str(caught.value)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("cached", [False, True])
def test_a_file_cannot_run_code_and_a_damaged_download_is_a_user_error(
    torch_home: Path, tmp_path: Path, cached: bool
) -> None:
    path = torch_home / Path(URL).name
    for content in (saved({"conv1.weight": Malicious(tmp_path / "ran")}), b"", b"log in first"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="weights=None" if cached else "cannot read module"):
            resnet("resnet18", weights="imagenet" if cached else str(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("architecture", ["resnet34", "resnet50"])
def test_weights_of_another_architecture_are_a_user_error(weights: Path, architecture: str) -> None:
    with pytest.raises(UserError, match=r"resnet18\.pth does not fit .* choose a matching file") as caught:
        resnet(architecture, weights=str(weights))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


class WrongBytes(io.BytesIO):
    """The response of `urlopen` behind a captive portal."""

    def info(self) -> Message:
        return Message()


DOWNLOADS: dict[str, Exception | WrongBytes] = {
    "no network": URLError("Name or service not known"),
    "forbidden": HTTPError(URL, 403, "Forbidden", None, None),  # type: ignore[arg-type]
    "cut off": ConnectionResetError("reset by peer"),
    "wrong content": WrongBytes(saved({})),  # it can be loaded, so only its hash is wrong
}


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_a_failed_download_names_the_address_and_both_alternatives(
    torch_home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("torch.hub.urlopen", Mock(side_effect=[DOWNLOADS[kind]]))
    with pytest.raises(UserError, match="cannot download") as caught:
        resnet("resnet18", weights="imagenet")
    message = str(caught.value)
    assert URL in message
    assert f"weights=/path/to/{Path(URL).name}" in message
    assert "weights=None" in message
    assert not list(torch_home.iterdir())  # a partial file would be loaded at the next attempt
