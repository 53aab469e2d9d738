"""Changes a module in one small place at a time.

A mutant has one comparison, operator, condition, number or slice bound changed, or one statement removed, in the body
of a function. The texts of messages, annotations, defaults of parameters and decorators are not changed.
"""

import ast
import copy
import re
from collections.abc import Iterator
from typing import NamedTuple

FLIPPED: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
MESSAGES = {"debug", "info", "warning", "warn", "error", "print"}  # functions whose arguments are texts


class Mutant(NamedTuple):
    """A module with one change.

    Attributes:
        line: number of the changed line.
        function: first line of the function around it; of the outermost one, if it is nested.
        change: old and new text of the place.
        source: the whole module.
    """

    line: int
    function: int
    change: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Returns every mutant of a module, in the order of its lines."""
    content, found = source.encode(), []
    lines = content.splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    for function in _functions(ast.parse(source)):
        first = min(node.lineno for node in (function, *function.decorator_list))
        for node, changed in (change for statement in function.body for change in _changes(statement)):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            new = ast.unparse(changed)
            text = f"({new})" if isinstance(changed, ast.expr) else new
            change = re.sub(r"\s+", " ", f"{ast.unparse(node)}  ->  {new}")
            mutated = content[:start] + text.encode() + content[end:]
            found.append(Mutant(node.lineno, first, change, mutated.decode()))
    return sorted(found, key=lambda mutant: mutant.line)


def _functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Yields the functions of a module and the methods of its classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node)


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    """Yields each expression or statement of a tree with what may replace it."""
    if isinstance(tree, ast.expr | ast.stmt):
        yield from ((tree, changed) for changed in _variants(tree))
    if isinstance(tree, ast.If | ast.IfExp | ast.While | ast.comprehension):
        tests = tree.ifs if isinstance(tree, ast.comprehension) else [tree.test]
        forced = (False,) if isinstance(tree, ast.While) else (True, False)
        yield from ((test, ast.Constant(always)) for test in tests for always in forced)
    if isinstance(tree, ast.Slice):
        bounds = [each for each in (tree.lower, tree.upper) if each and not isinstance(each, ast.Constant)]
        yield from ((bound, ast.BinOp(bound, ast.Add(), ast.Constant(1))) for bound in bounds)
    if not _is_message(tree):
        for name, value in ast.iter_fields(tree):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and name not in ("annotation", "returns", "decorator_list"):
                    yield from _changes(child)


def _is_message(node: ast.AST) -> bool:
    name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
    return isinstance(node, ast.Raise | ast.JoinedStr) or name in MESSAGES


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what may replace an expression or a statement, apart from conditions."""
    match node:
        case ast.Compare(ops=[operator]):
            yield from (_with(node, ops=[kind()]) for kind in FLIPPED[type(operator)])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) | ast.BoolOp(op=operator):
            yield from (_with(node, op=kind()) for kind in FLIPPED.get(type(operator), ()))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (ast.Constant(changed) for changed in sorted({value + 1, -value} - {value}))
        case ast.Call(func=ast.Name(id=name)) if name in SWAPPED:
            yield _with(node, func=ast.Name(SWAPPED[name]))
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Expr(value=ast.Call()):
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
