"""A run folder that somebody else has filled: each file of it is one sentence, or is written anew."""

import json
from pathlib import Path

import pytest
from helpers import aim_repository
from helpers.aim_repository import hashes_in, tracker_in

from jersey.compare.runs import read_run
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.runs.folder import open_run
from jersey.runs.metrics_csv import MetricsCsv, read_metrics
from jersey.runs.provenance import record_start
from jersey.sweep.table import read_result

workdir, empty_repository = aim_repository.workdir, aim_repository.empty_repository
DOCUMENTS = {"config.txt": "lr = 0.1\n"}
DEEP = b"[" * 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unfinished run."""
    return open_run(tmp_path, "exp", "one", documents=DOCUMENTS).path


def sentence(caught: pytest.ExceptionInfo[UserError], file: str) -> None:
    assert str(caught.value).isprintable()
    assert file in str(caught.value)
    assert len(str(caught.value)) < 1000


NO_STATUS = [
    b"",
    b"\xff",
    DEEP,
    b"{",
    b"[]",
    b"3",
    b"null",
    b"{}",
    b'{"stage": ["fit"]}',
    b'{"stage": {"fit": 1}}',
    b'{"stage": "\\u001b[31m"}',
    b'{"stage": "test", "epochs": "1"}',
    b'{"stage": "test", "epochs": true}',
    b'{"stage": "test", "epochs": -1}',
    b'{"stage": "test", "epochs": 1e9}',
    b'{"stage": "finished", "best_epoch": [1]}',
    b'{"stage": "finished", "best_epoch": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("name", ["one", None])
@pytest.mark.parametrize("content", NO_STATUS)
def test_a_status_that_no_run_writes(content: bytes, name: str | None, folder: Path, tmp_path: Path) -> None:
    (folder / "status.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_run(tmp_path, "exp", name, documents=DOCUMENTS)
    sentence(caught, "status.json")
    assert read_result(folder) is None
    with pytest.raises(UserError):
        read_run(folder)


def test_a_config_that_is_no_text(folder: Path, tmp_path: Path) -> None:
    (folder / "config.txt").write_bytes(b"\xff\x00")
    with pytest.raises(UserError) as caught:
        open_run(tmp_path, "exp", "one", documents=DOCUMENTS)
    sentence(caught, "config.txt")


def test_a_config_with_commands_for_the_terminal(folder: Path, tmp_path: Path) -> None:
    (folder / "config.txt").write_text("lr = \x1b]0;owned\x07\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        open_run(tmp_path, "exp", "one", documents=DOCUMENTS)
    sentence(caught, "another config")


def test_a_link_in_the_place_of_the_lock_empties_no_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(tmp_path / "precious")
    open_run(tmp_path, "exp", "one", documents=DOCUMENTS).reached("test", epochs=1)
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        b"\xff",
        b'{"labels": [[]], "class_to_idx": {}, "sha256": ""}',
        b'{"labels": ["0", "\\u001b[2J"], "class_to_idx": {}, "sha256": ""}',
        b'{"labels": ["0", "\\ud800"], "class_to_idx": {}, "sha256": ""}',
        b'{"labels": {"0": 0}, "class_to_idx": {"0": 0}, "sha256": ""}',
        b'{"labels": "00", "class_to_idx": {"0": 0}, "sha256": ""}',
        json.dumps({"labels": ["0"] * 200_000, "class_to_idx": {}, "sha256": ""}).encode(),  # not in quadratic time
        json.dumps({"labels": [str(n) for n in range(100_000)] * 2, "class_to_idx": {}, "sha256": ""}).encode(),
    ],
    ids=range(9),
)
@pytest.mark.timeout(60)
def test_a_label_map_that_no_run_writes(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels_mapping.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        Labels.load(tmp_path / "labels_mapping.json")
    sentence(caught, "labels_mapping.json")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"\0",
        b"epoch,step,val/loss\n0,0,=cmd()\n",
        b"epoch,step,val/loss\n0,0,1,2,3\n",
        b"epoch,step,val/loss\n,,1\n",
        b"epoch,step,val/loss\n1e3,0,1\n",
        b"epoch,step\n" + b"9" * 5000 + b",0\n",
        b'epoch,step\n"0,0\n',
        b"epoch,step\n" + b'"' + b"1" * 200_000 + b'",0\n',
    ],
    ids=range(9),
)
def test_metrics_that_no_run_writes(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(content)
    for read in (lambda: MetricsCsv(run_dir=tmp_path), lambda: read_metrics(file)):
        with pytest.raises(UserError) as caught:
            read()
        sentence(caught, "metrics.csv")
    assert file.read_bytes() == content


@pytest.mark.parametrize("content", [DEEP, b"\xff", b"{}", b"3"], ids=range(4))
def test_a_record_of_starts_that_no_run_writes(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        record_start(tmp_path)
    sentence(caught, "provenance.json")


def test_a_list_of_packages_that_is_no_text_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "packages.txt").write_bytes(b"\xff\n")
    record_start(tmp_path)
    assert "packages differ" in caplog.text


@pytest.mark.parametrize("known", ["../../../elsewhere", "..", "/", "/etc", ".", "a/../../../../elsewhere"])
def test_the_name_of_a_run_in_aim_leads_nowhere_else(known: str, workdir: Path, tmp_path: Path) -> None:
    """Aim would open, or make, a data base of that name below its repository."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (workdir / "aim_hash").write_text(known, encoding="utf-8")
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("success")
    assert list(elsewhere.iterdir()) == []
    assert hashes_in(workdir) == [(workdir / "aim_hash").read_text(encoding="utf-8")]
    assert (workdir / "aim_hash").read_text(encoding="utf-8") != known


@pytest.mark.parametrize("content", [b"\xff", b"", b"\x1b[31m", b"0" * 100_000])
def test_no_name_in_aim_stops_a_run(content: bytes, workdir: Path) -> None:
    (workdir / "aim_hash").write_bytes(content)
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("success")
