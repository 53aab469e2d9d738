"""Validates JSON against the part of JSON Schema that the pages of this project use; any other keyword fails.

https://json-schema.org/draft/2020-12/json-schema-validation
"""

import re
from collections.abc import Callable
from typing import Any

ANNOTATIONS = {"$schema", "$defs", "title", "description"}
TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


def is_valid(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None) -> bool:
    """Returns whether a value matches a schema, whose references are resolved in `root`, the schema itself by default.

    Raises:
        KeyError: the schema has a keyword that is not supported.
    """
    whole = root or schema
    keywords: dict[str, Callable[[Any], bool]] = {
        "$ref": lambda name: is_valid(value, whole["$defs"][name.removeprefix("#/$defs/")], whole),
        "oneOf": lambda parts: sum(is_valid(value, part, whole) for part in parts) == 1,
        "type": lambda names: any(TYPES[name](value) for name in ([names] if isinstance(names, str) else names)),
        "properties": lambda parts: all(is_valid(value[key], parts[key], whole) for key in parts if key in value),
        "required": lambda names: set(names) <= set(value),
        "additionalProperties": lambda allowed: allowed or set(value) <= set(schema["properties"]),
        "items": lambda part: all(is_valid(each, part, whole) for each in value),
        "prefixItems": lambda parts: all(is_valid(*pair, whole) for pair in zip(value, parts, strict=False)),
        "minItems": lambda count: len(value) >= count,
        "maxItems": lambda count: len(value) <= count,
        "minimum": lambda bound: value >= bound,
        "maximum": lambda bound: value <= bound,
        "pattern": lambda pattern: re.search(pattern, value) is not None,
    }
    # The type comes first, because the other keywords are meant for values of it.
    ordered = sorted(schema.keys() - ANNOTATIONS, key=lambda name: name != "type")
    return all(keywords[name](schema[name]) for name in ordered)
