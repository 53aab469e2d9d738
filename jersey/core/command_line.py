"""Derives the arguments of a command from the signature of a function, and its `--help` from the docstring."""

import argparse
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin


def parser_for(module: str, doc: str | None, function: Callable[..., Any]) -> argparse.ArgumentParser:
    """Returns the parser of `python -m module`; what it parses are the keyword arguments of `function`.

    Args:
        module: name of the module that is run, such as "jersey.bench.epoch".
        doc: docstring of that module, which `--help` shows.
        function: function with annotated parameters, which its docstring describes under `Args:`. A path becomes a
            positional argument, a sequence of paths several, `changes` the flag `--set`, which can be repeated, any
            other parameter an option.
    """
    description = (doc or "").partition("\nShapes:")[0]  # that legend is only for readers of the code
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description, formatter_class=style)
    section = (inspect.getdoc(function) or "").partition("Args:\n")[2]
    texts = dict(re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", section, re.MULTILINE))
    for parameter in inspect.signature(function).parameters.values():
        text = " ".join(texts.get(parameter.name, "").rstrip(".").replace("%", "%%").split())
        _add_parameter(parser, parameter, text)
    return parser


def path_argument(text: str) -> Path:
    """Parses a path as the `type` of an argument; an empty one, of an unset variable, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; name a file or folder, or leave the argument out")
    return Path(text)


def text_argument(text: str) -> str:
    """Returns a text as the `type` of an option; an empty one, of an unset variable, would hide that it is missing."""
    if not text:
        raise argparse.ArgumentTypeError("the text is empty; write one, or leave the option out")
    return text


def _add_parameter(parser: argparse.ArgumentParser, parameter: inspect.Parameter, text: str) -> None:
    name, default = parameter.name, parameter.default
    types = get_args(parameter.annotation)  # the choices of a Literal, or the types of a tuple's elements or a union
    if get_origin(parameter.annotation) is Sequence and Path in types:
        parser.add_argument(name, type=path_argument, nargs="+", help=text)
    elif Path in (parameter.annotation, *types):
        parser.add_argument(name, type=path_argument, nargs=None if default is parameter.empty else "?", help=text)
    elif name == "changes":
        parser.add_argument("--set", action="append", default=[], dest=name, metavar="PATH=VALUE", help=text)
    elif isinstance(default, tuple):
        parser.add_argument(f"--{name}", nargs="+", type=types[0], default=default, help=text)
    elif default is None:
        choices = get_args(types[0])  # of an optional Literal
        kind = text_argument if choices or types[0] is str else types[0]
        parser.add_argument(f"--{name}", type=kind, choices=choices or None, help=text)
    else:
        add_option(parser, name, default, text, choices=types)


def add_option(
    parser: argparse.ArgumentParser, name: str, default: Any, text: str, *, choices: Sequence[Any] = ()
) -> None:
    """Adds the option `--name`, whose values have the type of its default; its help ends with the default."""
    about = f"{text} (default: %(default)s)"
    parser.add_argument(f"--{name}", type=type(default), default=default, choices=choices or None, help=about)
