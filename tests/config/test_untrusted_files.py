"""Reading a saved config from an untrusted source neither imports nor calls anything but what is allowed."""

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fiddle as fdl
import pytest
import torch
from fiddle.experimental import serialization
from helpers.config_graphs import assert_works_or_raises_user_error
from helpers.config_targets import positional
from hypothesis import given, settings
from hypothesis import strategies as st

from jersey.config import to_json
from jersey.config.saved import from_json
from jersey.core.errors import UserError

PACKAGES = ("jersey", "experiments", "torch", "torchvision", "lightning")
META = ("fiddle._src.config", "BuildableTraverserMetadata")
CONFIG = ("fiddle._src.config", "Config")
SEQUENTIAL = ("torch.nn.modules.container", "Sequential")


def pyref(name: tuple[str, str]) -> dict[str, Any]:
    return {"type": "pyref", "module": name[0], "name": name[1]}


def node(kind: tuple[str, str], *items: Any, metadata: Any = None) -> dict[str, Any]:
    return {"type": pyref(kind), "items": [["", item] for item in items], "metadata": metadata}


def config_json(*values: Any, target: tuple[str, str] = SEQUENTIAL, keys: Any = None, **objects: Any) -> str:
    """Returns the JSON of a config that calls `target` with `values`."""
    empty = node(("builtins", "dict"), metadata=node(("builtins", "tuple")))
    names = node(("builtins", "tuple"), *(range(len(values)) if keys is None else keys))
    meta = node(META, pyref(target), names, empty, empty, metadata=pyref(META))
    root = node(CONFIG, *values, metadata={"type": "ref", "key": "meta"})
    return json.dumps({"root": root, "objects": {"meta": meta, **objects}})


def error_of(text: str) -> str:
    """Returns the error of reading `text`, which must not import anything outside the allowed packages."""
    before = set(sys.modules)
    with pytest.raises(UserError) as caught:
        from_json(text, PACKAGES)
    assert {name.partition(".")[0] for name in set(sys.modules) - before} <= set(PACKAGES)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_the_documents_of_these_tests_have_the_right_format() -> None:
    config = fdl.Config(torch.nn.Sequential, "a", (1, None))
    assert from_json(config_json("a", node(("builtins", "tuple"), 1, None)), PACKAGES) == config
    assert serialization.load_json(config_json("a", node(("builtins", "tuple"), 1, None))) == config


@pytest.fixture
def import_traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Puts modules on the path that create a file when they are imported; yields the folder of these files."""
    imported = tmp_path / "imported"
    imported.mkdir()
    for name in ("evil", "jersey_evil", "experiments_evil", "torch_evil", "torchvision_evil", "lightning_evil"):
        code = f"from pathlib import Path\nPath({str(imported)!r}, {name!r}).touch()\ndef f(*arguments): pass\n"
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "evil.py").write_text((tmp_path / "evil.py").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("evil")  # check that a trap works
    (imported / "evil").unlink()
    del sys.modules["evil"]
    yield imported
    assert list(imported.iterdir()) == []


_NAMES = """
    os:system posix:system subprocess:run subprocess:Popen builtins:eval builtins:exec builtins:__import__
    importlib:import_module pathlib:Path.touch functools:partial fiddle:build fiddle._src.config:Config
    __main__:main evil:f jersey_evil:f jersey_evil.x:f experiments_evil:f torch_evil:f torchvision_evil:f
    lightning_evil:f .evil:f torch..evil:f torch:os.system torch:os torch:sys.exit torch:_C torch:nn.Linear
    torch:nn torch:float32 torch:__builtins__ torch:__builtins__.eval torch:__import__
    torch._utils:_rebuild_tensor torch.nn:Linear.__init__.__globals__ torch.nn:Module.register_module
    torch.__main__:main torch.nn.modules.linear:math.sqrt torch.serialization:pickle torch.hub:urlopen
    torch.optim.optimizer:defaultdict jersey.config:build jersey.config.saved:importlib.import_module
    jersey.config.saved:Path jersey.config.saved:json jersey.config.registry:experiment
"""
FORBIDDEN = [("", "f"), ("torch", ""), ("jersey\n.x", "f")]
FORBIDDEN += [(module, name) for module, _, name in (word.partition(":") for word in _NAMES.split())]


@pytest.mark.parametrize(("module", "name"), FORBIDDEN)
def test_a_sub_config_may_not_name_a_forbidden_callable(
    module: str, name: str, import_traps: Path, tmp_path: Path
) -> None:
    command = f"touch {tmp_path / 'imported' / 'command'}"
    assert "may only name" in error_of(config_json(command, target=(module, name)))


@pytest.mark.parametrize(("module", "name"), [*FORBIDDEN, ("torch.nn", "Linear"), ("torch.hub", "load")])
def test_no_other_place_may_name_an_object(module: str, name: str, import_traps: Path, tmp_path: Path) -> None:
    bad = pyref((module, name))
    command = f"touch {tmp_path / 'imported' / 'command'}"
    error_of(config_json(bad))
    error_of(config_json(node(("builtins", "dict"), command, metadata=bad)))
    error_of(config_json({"type": "ref", "key": "bad"}, bad=bad))
    error_of(config_json({"type": "leaf", "value": bad}))
    error_of(config_json(node((module, name), command)) if (module, name) != CONFIG else "")
    error_of(json.dumps({"root": node(CONFIG, command, metadata=bad), "objects": {}}))
    error_of(json.dumps({"root": node(META, command, metadata=bad), "objects": {}}))
    error_of(json.dumps({"root": bad, "objects": {}}))


@pytest.mark.parametrize("module", ["torch.evil", "torch.no_such_module", "torch.nn.evil"])
def test_a_missing_module_is_searched_only_in_its_allowed_package(module: str, import_traps: Path) -> None:
    assert "this version of the code" in error_of(config_json(target=(module, "f")))


def test_metadata_of_a_named_tuple_is_not_called(tmp_path: Path) -> None:
    """Fiddle's reader would call it; here the metadata is a function of torch that writes a file."""
    file = tmp_path / "written"
    attack = json.dumps({"root": node(META, "text", str(file), metadata=pyref(("torch", "save"))), "objects": {}})
    error_of(attack)
    error_of(config_json(json.loads(attack)["root"]))
    assert not file.exists()


def test_metadata_of_a_sub_config_is_not_called() -> None:
    """Fiddle's reader would call the `tags` of any object in that place; here they are a function of torch."""
    empty = node(("builtins", "dict"), metadata=node(("builtins", "tuple")))
    names = node(("builtins", "tuple"), "fn_or_cls", "tags")
    objects = {
        "meta": node(META, pyref(("torch.nn", "Linear")), names, empty, empty, metadata=pyref(META)),
        "disguised": node(
            CONFIG, pyref(("torch.nn", "Linear")), pyref(("torch", "seed")), metadata={"type": "ref", "key": "meta"}
        ),
    }
    attack = json.dumps({"root": node(CONFIG, metadata={"type": "ref", "key": "disguised"}), "objects": objects})
    torch.manual_seed(7)
    error_of(attack)
    assert torch.initial_seed() == 7


def test_arguments_cannot_set_private_attributes_of_the_sub_config() -> None:
    keys = ("__class__", "__fn_or_cls__", "__arguments__", "__dict__", "__build__", 7, -1, 1.5, None)
    for key in keys:
        assert "Linear" in error_of(config_json("x", target=("torch.nn", "Linear"), keys=(key,)))


@pytest.mark.parametrize("config", [fdl.Config(positional, 1, 2, 3, (4,)), fdl.Partial(positional, 1)])
def test_positional_arguments_survive_a_round_trip(config: fdl.Buildable) -> None:
    assert from_json(to_json(config, "some_experiment"), ["helpers"]) == config


VALID = json.loads(
    to_json(fdl.Config(torch.nn.ModuleDict, {"00": fdl.Partial(torch.optim.AdamW, lr=1.0), "a": ("0", None)}), "some")
)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Returns every container in `tree`, once for each of its keys."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, child in pairs for found in [(tree, key), *places(child)]]


NODES = st.sampled_from([container[key] for container, key in places(VALID)])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | NODES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.integers(0, len(places(VALID)) - 1), JSON, st.booleans())
def test_a_damaged_document_is_read_or_raises_a_user_error(number: int, value: Any, remove: bool) -> None:
    document = copy.deepcopy(VALID)
    container, key = places(document)[number]
    if remove:
        del container[key]
    else:
        container[key] = value

    def read() -> None:
        assert isinstance(from_json(json.dumps(document), PACKAGES), fdl.Buildable)

    assert_works_or_raises_user_error(read)


def test_a_cycle_of_references_raises_an_error() -> None:
    assert "damaged" in error_of(config_json({"type": "ref", "key": "loop"}, loop={"type": "ref", "key": "loop"}))
