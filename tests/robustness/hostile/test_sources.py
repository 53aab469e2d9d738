"""The code itself must not start a shell, evaluate text, or unpickle files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SOURCES = [
    *(path for folder in ("jersey", "experiments", "docs") for path in sorted((REPOSITORY / folder).rglob("*.py"))),
    REPOSITORY / "launch.py",
]
NEVER = {
    *(f"os.{name}" for name in ("system", "popen", "execv", "execve", "execvp", "spawnl", "spawnv")),
    *("subprocess.getoutput", "subprocess.getstatusoutput"),
    *("eval", "exec", "compile", "__import__", "yaml.load", "torch.hub.load", "torch.jit.load", "tempfile.mktemp"),
    *("socket.create_server", "http.server.HTTPServer"),
}
MODULES = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle", "telnetlib", "xmlrpc", "pty"}


def dotted(node: ast.expr) -> str:
    """Returns a dotted name as it is written, with `?` for an expression: `?.c` for `a().c`."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join(reversed([*names, node.id if isinstance(node, ast.Name) else "?"]))


def harm(code: str) -> Iterator[str]:
    """Yields every forbidden import and call in Python code."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.partition(".")[0] in MODULES)
        if isinstance(node, ast.ImportFrom) and node.module in {*MODULES, "os", "subprocess"}:
            yield f"from {node.module}"  # its calls could not be recognized by name
        if not isinstance(node, ast.Call):
            continue
        name, keywords = dotted(node.func), {each.arg: each.value for each in node.keywords}
        if name in NEVER:
            yield name
        if "shell" in keywords or "allow_pickle" in keywords:
            yield f"{name} with shell or allow_pickle"
        loads = name.endswith(("torch.load", ".get_state_dict", ".load_from_checkpoint")) or "ckpt_path" in keywords
        if loads and not _is_true(keywords.get("weights_only")):
            yield f"{name} without weights_only=True"


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_source_contains_harmful_calls(path: Path) -> None:
    assert list(harm(path.read_text(encoding="utf-8"))) == []


HARMFUL = [
    *("import os\nos.system('id')", "from os import system", "from subprocess import run", "eval('1')", "exec(text)"),
    *(
        "subprocess.run('id', shell=True)",
        "subprocess.run('id', shell=flag)",
        "import pickle",
        "from pickle import load",
    ),
    *("torch.load(path)", "torch.load(path, weights_only=False)", "torch.load(path, weights_only=choice)"),
    "from pickle import load",
    *("trainer.fit(module, ckpt_path=last)", "JerseyModule.load_from_checkpoint(path)", "torch.hub.load('a', 'b')"),
    *("np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=choice)", "choice.get_state_dict(progress=True)"),
]
HARMLESS = [
    *('"""os.system(1) and eval(2), or pickle.load(3)"""', "# os.system(1)", "network.eval()", "trainer.fit(module)"),
    *("copy.deepcopy(network).eval()", "from os.path import commonpath", "torch.load(path, weights_only=True)"),
    *("np.load(path, mmap_mode='c')", "re.compile('a')", "ast.literal_eval('1')"),
    *("subprocess.run(['git', 'log'], check=True)", "trainer.fit(module, weights_only=True)"),
]


@pytest.mark.parametrize(("code", "count"), [*((code, 1) for code in HARMFUL), *((code, 0) for code in HARMLESS)])
def test_harmful_code_is_found_and_harmless_code_is_not(code: str, count: int) -> None:
    assert len(list(harm(code))) == count
