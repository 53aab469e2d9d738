"""The experiments and fiddlers, as `--list` shows them: read from their sources, so that nothing is imported.

Importing them would import torch, which takes seconds. A test compares this with what the import registers.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

KINDS = ("experiment", "fiddler")


def listing(folder: Path) -> str:
    """A table of each of KINDS: the functions in `folder` that have it as decorator, each with its first line.

    Raises:
        SyntaxError: a file is not Python.
    """
    functions = [function for path in sorted(folder.glob("*.py")) for function in _functions(path)]
    return "\n".join(f"{kind}s\n{_table(functions, kind)}" for kind in KINDS)


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    module = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return (node for node in module.body if isinstance(node, ast.FunctionDef))


def _table(functions: list[ast.FunctionDef], kind: str) -> str:
    lines = {each.name: _signature(each) for each in functions if kind in map(ast.unparse, each.decorator_list)}
    width = max(map(len, lines.values()), default=0)
    summaries = {each.name: (ast.get_docstring(each) or "").partition("\n")[0] for each in functions}
    return "".join(f"  {lines[name]:<{width}}  {summaries[name]}".rstrip() + "\n" for name in sorted(lines))


def _signature(function: ast.FunctionDef) -> str:
    """`smoke` or `class_weights(power=0.5)`: the name, and what may be given besides the config."""
    names = function.args.args[1:]
    defaults = [ast.unparse(each) for each in function.args.defaults]
    texts = [each.arg for each in names[: len(names) - len(defaults)]]
    texts += [f"{each.arg}={default}" for each, default in zip(names[len(texts) :], defaults, strict=True)]
    return f"{function.name}({', '.join(texts)})" if texts else function.name
