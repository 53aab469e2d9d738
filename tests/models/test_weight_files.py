"""Weights of torchvision, timm and other projects, and the error message if a file cannot be used."""

import argparse
import io
import json
import os
import re
import struct
from collections.abc import Callable, Mapping
from email.message import Message
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.error import HTTPError, URLError
from zipfile import ZIP_DEFLATED, ZipFile

import lightning as L
import pytest
import torch
from helpers import payload
from helpers.small_run import small_trainer
from onnx import helper
from torch import Tensor, nn
from torchvision import models

from jersey.core import model_file
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models import weight_files
from jersey.models.network import classifier

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
def state(trained: nn.Module) -> dict[str, Tensor]:
    return dict(trained.state_dict())


@pytest.fixture(scope="module")
def weights(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def backbone_of(weights: str | Path, **settings: Any) -> nn.Module:
    return classifier(labels=Labels(("0", "00")), weights=str(weights), **settings).backbone.eval()


def features(backbone: nn.Module) -> Tensor:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return backbone.eval()(images)


def features_of(trained: nn.Module) -> Tensor:
    return features(nn.Sequential(*list(trained.children())[:-1], nn.Flatten()))


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def renamed(state: Mapping[str, Tensor], prefix: str, factor: float = 1) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value * factor for name, value in state.items()}


DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def safetensors(state: Mapping[str, Tensor], **entry: Any) -> bytes:
    """Returns a file of this format; `entry` changes the header of `conv1.weight`."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    values = b""
    for name, value in state.items():
        data = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        offsets = [len(values), len(values) + len(data)]
        header[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": offsets}
        values += data
    header["conv1.weight"] |= entry
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


FILES: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "of torchvision": lambda state: state,
    "without a classifier": lambda state: {name: each for name, each in state.items() if not name.startswith("fc.")},
    "of old torchvision": lambda state: {name: each for name, each in state.items() if "num_batches" not in name},
    "of several processes": lambda state: {"model": renamed(state, "module."), "epoch": 3},
    "of timm's train.py": lambda state: {
        "state_dict": renamed(state, "", 2),
        "state_dict_ema": state,
        "args": argparse.Namespace(model="resnet18"),
    },
    "of torchvision's train.py": lambda state: {"model": renamed(state, "", 2), "model_ema": renamed(state, "module.")},
    "of another project": lambda state: {
        "state_dict": renamed(state, "encoder.resnet.") | {"head.bias": torch.ones(3)}
    },
}


@pytest.mark.parametrize("kind", FILES)
def test_a_state_dict_has_torchvisions_features(
    trained: nn.Module, state: dict[str, Tensor], tmp_path: Path, kind: str
) -> None:
    (tmp_path / "weights.pt").write_bytes(saved(FILES[kind](state)))
    torch.testing.assert_close(features(backbone_of(tmp_path / "weights.pt")), features_of(trained))


def test_another_pickle_protocol_is_refused_in_one_sentence_without_a_warning(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "weights.pt", pickle_protocol=4)
    with pytest.raises(UserError, match=r"because it .* pickle protocol 2; nothing else is unpickled; give"):
        backbone_of(tmp_path / "weights.pt")


class OtherProject(L.LightningModule):
    """A module of another project around the same ResNet."""

    def __init__(self, encoder: nn.Module, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters("lr")
        self.encoder = encoder


def test_a_lightning_checkpoint_of_another_project_has_its_features(trained: nn.Module, tmp_path: Path) -> None:
    trainer = small_trainer(tmp_path)
    trainer.strategy.connect(OtherProject(trained))
    trainer.save_checkpoint(tmp_path / "other.ckpt")
    torch.testing.assert_close(features(backbone_of(tmp_path / "other.ckpt")), features_of(trained))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_have_the_same_weights(state: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype) -> None:
    halved = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
    (tmp_path / "weights.safetensors").write_bytes(safetensors(halved))
    backbone = backbone_of(tmp_path / "weights.safetensors")
    for name, value in backbone.state_dict().items():
        assert "num_batches" in name or torch.equal(value, halved[name].float()), name


BAD_SAFETENSORS: dict[str, Callable[[dict[str, Tensor]], bytes]] = {
    "truncated": lambda state: safetensors(state)[:-1000],
    "only a length": lambda state: safetensors(state)[:8],
    "a huge header": lambda state: struct.pack("<Q", 2**63) + safetensors(state)[8:],
    "no JSON": lambda state: struct.pack("<Q", 3) + b"{,}",
    "deep JSON": lambda state: struct.pack("<Q", 200_000) + b"[" * 200_000,
    "a list": lambda state: struct.pack("<Q", 2) + b"[]",
    "offsets after the end": lambda state: safetensors(state, data_offsets=[2**40, 2**40 + 64 * 3 * 49 * 4]),
    "negative offsets": lambda state: safetensors(state, shape=[64], data_offsets=[-256, 0]),
    "offsets of another shape": lambda state: safetensors(state, shape=[64, 3, 7, 8]),
    "a negative shape": lambda state: safetensors(state, shape=[-64, -3, 7, 7]),
    "a text as shape": lambda state: safetensors(state, shape="6437"),
}


@pytest.mark.parametrize("kind", BAD_SAFETENSORS)
def test_damaged_safetensors_are_a_user_error(state: dict[str, Tensor], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(BAD_SAFETENSORS[kind](state))
    with pytest.raises(UserError, match=r"module\.network\.weights=\S*bad\.safetensors\W.*; give a run"):
        backbone_of(path)


def test_downloaded_weights_are_loaded_from_torchs_cache(trained: nn.Module, weights: Path, torch_home: Path) -> None:
    (torch_home / Path(URL).name).write_bytes(weights.read_bytes())
    torch.testing.assert_close(features(backbone_of("imagenet")), features_of(trained))


def test_the_small_stem_loads_the_same_weights(trained: nn.Module, weights: Path) -> None:
    small = backbone_of(weights, stem="small")
    body = nn.Sequential(
        *(part for name, part in trained.named_children() if name not in ("maxpool", "fc")), nn.Flatten()
    )
    torch.testing.assert_close(features(small), features(body))
    assert not torch.allclose(features(small), features_of(trained))


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
    "another network": lambda _: saved({"state_dict": {"conv1.weight": torch.ones(1)}, "epoch": 3}),
    "damaged labels": lambda good: saved({"state_dict": torch.load(io.BytesIO(good)), "jersey": {"labels": 3}}),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_a_user_error_that_names_it(weights: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.pth"
    if (content := BAD_FILES[kind](weights.read_bytes())) is not None:
        path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"weights=\S*bad\.pth.*; give .*a run folder, .* or a \.pth of torch"
    ) as caught:
        backbone_of(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.count(str(path)) == 1
    # A word of a parser, such as the number 101 or EOFError, is no reason.
    assert re.search(r"(because it|: it|: there) \w+|label", sentence), sentence


def test_a_name_that_is_none_of_the_choices_is_a_user_error_that_lists_them(tmp_path: Path) -> None:
    for weights, words in (
        ("norun", "there is no such file or folder"),
        (str(tmp_path), r"the folder has no .*best\.ckpt"),
    ):
        with pytest.raises(
            UserError, match=rf"weights={weights}: {words}; give imagenet, reader, None, a run folder, a"
        ):
            backbone_of(weights)


def test_a_missing_reader_is_a_user_error_that_tells_how_to_restore_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (weight_files, model_file):
        monkeypatch.setattr(module, "READER", tmp_path / "jersey" / "inference" / "reader.onnx")
    with pytest.raises(UserError, match=r"weights=reader: cannot read the model reader\.onnx .*; install jersey again"):
        backbone_of("reader")


def test_an_onnx_file_of_another_project_is_named_once_and_its_other_formats_are_advised(tmp_path: Path) -> None:
    model = helper.make_model(helper.make_graph([], "empty", [], []))
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"other\.onnx is not a model that jersey .*, or the \.pth or \.saf") as caught:
        backbone_of(tmp_path / "other.onnx")
    assert str(caught.value).count(str(tmp_path)) == 1


@pytest.mark.parametrize("content", payload.CHECKPOINTS.values(), ids=payload.CHECKPOINTS.keys())
@pytest.mark.parametrize("cached", [False, True])
def test_a_file_cannot_run_code_and_a_damaged_download_is_a_user_error(
    torch_home: Path, cached: bool, content: bytes
) -> None:
    path = torch_home / Path(URL).name
    for bad in (content, b"", b"log in first"):
        path.write_bytes(bad)
        with pytest.raises(UserError, match="weights=None" if cached else "cannot read module"):
            backbone_of("imagenet" if cached else path)
    assert not payload.MARKER.exists()


@pytest.mark.parametrize("architecture", ["resnet34", "resnet50"])
def test_weights_of_another_architecture_are_a_user_error(weights: Path, architecture: str) -> None:
    with pytest.raises(UserError, match=rf"resnet18, .* has {architecture}; set .*\.architecture=resnet18"):
        backbone_of(weights, architecture=architecture)


def test_a_deeper_network_is_not_loaded_in_part(tmp_path: Path) -> None:
    """A ResNet-34 has every weight of a ResNet-18 under the same name and with the same shape."""
    torch.save(models.resnet34(weights=None).state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(UserError, match=r"architecture=resnet34, .* has resnet18; set .*\.architecture=resnet34"):
        backbone_of(tmp_path / "resnet34.pth")


def test_a_wider_network_and_values_that_are_not_finite_are_user_errors(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    wide = {name: value.repeat(2, 1, 1, 1) if value.ndim == 4 else value for name, value in state.items()}
    torch.save(wide, tmp_path / "wide.pth")
    with pytest.raises(UserError, match=r"wide\.pth: .* none of resnet18, resnet34, resnet50"):
        backbone_of(tmp_path / "wide.pth")
    torch.save(state | {"bn1.running_var": torch.full((64,), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(UserError, match=r"nan\.pth: .* not finite"):
        backbone_of(tmp_path / "nan.pth")


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
        backbone_of("imagenet")
    message = str(caught.value)
    assert URL in message
    assert f"weights=/path/to/{Path(URL).name}" in message
    assert "weights=None" in message
    assert not list(torch_home.iterdir())  # a partial file would be loaded at the next attempt


@pytest.mark.timeout(60)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx", ""])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_pipe_or_a_device_is_refused_without_being_read(
    make: Callable[[Path], object], suffix: str, tmp_path: Path
) -> None:
    make(tmp_path / f"weights{suffix}")
    with pytest.raises(UserError, match="is not a file, but a device or a pipe; give imagenet"):
        classifier(labels=Labels(("0", "1")), weights=str(tmp_path / f"weights{suffix}"))


def test_a_compressed_file_with_the_weights_is_read(weights: Path, tmp_path: Path) -> None:
    """As another program may write it; only one that becomes ten times as large is refused."""
    with ZipFile(weights) as found, ZipFile(tmp_path / "again.pth", "w", ZIP_DEFLATED) as archive:
        for entry in found.infolist():
            archive.writestr(entry.filename, found.read(entry), compresslevel=1)
    classifier(labels=Labels(("0", "1")), weights=str(tmp_path / "again.pth"))
