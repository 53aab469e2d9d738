"""One network and one float32 file, shared by all tests of the export."""

from pathlib import Path

import pytest
from helpers.export_case import Crops, export, trained

from jersey.models.network import Network


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops(tmp_path_factory.mktemp("crops"))


@pytest.fixture(scope="session")
def network(crops: Crops) -> Network:
    return trained(crops)


@pytest.fixture(scope="session")
def float32(network: Network, crops: Crops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported file, which tests must not change."""
    path = tmp_path_factory.mktemp("out") / "model.onnx"
    export(network, path, crops)
    return path
