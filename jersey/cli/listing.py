"""Lists the experiments, fiddlers and parts for `--list` from their source code, without importing them.

Importing them would import torch, which takes seconds. A test compares the list with the registries.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from jersey.core.errors import UserError
from jersey.core.packages import source_files

Definition = ast.FunctionDef | ast.ClassDef
Rows = list[tuple[str, list[ast.arg], Definition | None]]
"""Name, positional arguments to show, and definition of each line; None if its source is not found."""


def listing(names: Iterable[str]) -> str:
    """Returns a table of experiments, one of fiddlers, and one of parts by place, with the first lines of docstrings.

    Args:
        names: dotted names of modules and packages, such as `experiments`.

    Raises:
        UserError: if a module does not exist, or a file is not valid Python.
    """
    modules = _modules(names)
    tables = []
    for kind in ("experiment", "fiddler"):
        found = _functions(modules, kind)
        # The first argument of a fiddler is the config that it changes.
        tables.append(f"{kind}s\n" + _table([(each.name, each.args.args[1:], each) for each in found]))
    parts = [part for module in modules for part in _parts(module)]
    for place in sorted({place for place, *_ in parts}):
        rows: Rows = [(name, [], definition) for at, name, definition in parts if at == place]
        tables.append(f"parts for {place}\n" + _table(rows))
    return "\n".join(tables)


def registered(names: Iterable[str], kind: str) -> list[str]:
    """Returns the sorted names of the functions with the decorator `kind`; raises errors as `listing` does."""
    return sorted(each.name for each in _functions(_modules(names), kind))


def _modules(names: Iterable[str]) -> list[ast.Module]:
    return [_parsed(file) for name in names for file in source_files(name).values()]


def _functions(modules: Iterable[ast.Module], kind: str) -> list[ast.FunctionDef]:
    functions = [node for module in modules for node in module.body if isinstance(node, ast.FunctionDef)]
    return [each for each in functions if kind in map(_last_name, each.decorator_list)]


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except (SyntaxError, ValueError, OSError) as error:
        raise UserError(f"cannot read {file} ({error}); correct it") from error


def _table(rows: Rows) -> str:
    """Returns one line per name: name, positional arguments, and summary."""
    lines = {name: _signature(name, arguments, definition) for name, arguments, definition in rows}
    summaries = {name: ((each and ast.get_docstring(each)) or "").partition("\n")[0] for name, _, each in rows}
    width = max(map(len, lines.values()), default=0)
    return "".join(f"  {lines[name]:<{width}}  {summaries[name]}".rstrip() + "\n" for name in sorted(lines))


def _signature(name: str, arguments: list[ast.arg], definition: Definition | None) -> str:
    if not arguments or not isinstance(definition, ast.FunctionDef):
        return name
    arguments = [ast.arg(each.arg) for each in arguments]
    defaults = definition.args.defaults
    return f"{name}({ast.unparse(ast.arguments([], arguments, None, [], [], None, defaults))})"


def _last_name(decorator: ast.expr) -> str:
    """Returns `experiment` for the decorators `@experiment` and `@config.experiment`."""
    return ast.unparse(decorator).rpartition(".")[2]


def _parts(module: ast.Module) -> Iterator[tuple[str, str, Definition | None]]:
    """Yields place, name and definition of each part: decorated with `@part(...)`, or given to `part(...)`."""
    defined = {node.name: node for node in module.body if isinstance(node, Definition)}
    for node in defined.values():
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and _last_name(call.func) == "part":
                yield (*_place_and_name(call, node.name), node)
    for statement in module.body:
        match statement:
            case ast.Expr(ast.Call(ast.Call(function) as call, [target])) if _last_name(function) == "part":
                name = _last_name(target)
                yield (*_place_and_name(call, name), defined.get(name) or _imported(module, name))


def _place_and_name(call: ast.Call, default: str) -> tuple[str, str]:
    place, name, *_ = *(ast.literal_eval(each) for each in call.args), default
    return place, name


def _imported(module: ast.Module, name: str) -> Definition | None:
    """Returns the definition of a name in the source of the module it is imported from; None if it is not there."""
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module and name in (alias.name for alias in node.names):
            source = _parsed(source_files(node.module)[node.module])
            return next((each for each in source.body if isinstance(each, Definition) and each.name == name), None)
    return None
