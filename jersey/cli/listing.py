"""Lists the experiments and fiddlers for `--list` from their source code, without importing them.

Importing them would import torch, which takes seconds. A test compares the list with the registries.
"""

import ast
from pathlib import Path

KINDS = ("experiment", "fiddler")  # names of the decorators


def listing(folder: Path) -> str:
    """Returns one table per kind: the functions with that decorator, and the first lines of their docstrings.

    Args:
        folder: folder of the Python files, such as `experiments`.

    Raises:
        SyntaxError: if a file is not valid Python.
    """
    return "\n".join(f"{kind}s\n{_table(folder, kind)}" for kind in KINDS)


def names(folder: Path, kind: str) -> list[str]:
    """Returns the sorted names of the functions with the decorator `kind`; a SyntaxError as in `listing`."""
    return sorted(each.name for each in _functions(folder, kind))


def _functions(folder: Path, kind: str) -> list[ast.FunctionDef]:
    modules = [ast.parse(path.read_text(encoding="utf-8"), filename=str(path)) for path in sorted(folder.glob("*.py"))]
    functions = [node for module in modules for node in module.body if isinstance(node, ast.FunctionDef)]
    return [each for each in functions if kind in map(ast.unparse, each.decorator_list)]


def _table(folder: Path, kind: str) -> str:
    functions = _functions(folder, kind)
    lines = {each.name: _signature(each) for each in functions}
    width = max(map(len, lines.values()), default=0)
    summaries = {each.name: (ast.get_docstring(each) or "").partition("\n")[0] for each in functions}
    return "".join(f"  {lines[name]:<{width}}  {summaries[name]}".rstrip() + "\n" for name in sorted(lines))


def _signature(function: ast.FunctionDef) -> str:
    """Returns the name and the arguments after the first, which is the config that a fiddler changes."""
    arguments = [ast.arg(each.arg) for each in function.args.args[1:]]
    defaults = function.args.defaults
    text = ast.unparse(ast.arguments(posonlyargs=[], args=arguments, kwonlyargs=[], kw_defaults=[], defaults=defaults))
    return f"{function.name}({text})" if text else function.name
