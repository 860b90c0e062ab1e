"""Values of JSON held against annotations."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

_PLAIN: dict[Any, Callable[[Any], bool]] = {
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    int: lambda value: type(value) is int and abs(value) < 1 << 63,
    float: lambda value: type(value) in (int, float) and abs(value) <= 1.7e308,
    NoneType: lambda value: value is None,
    None: lambda value: value is None,
}
_WORDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number of at most 64 bits",
    float: "a finite number",
    NoneType: "null",
    None: "null",
}


def validated(value: Any, kind: Any, name: str) -> Any:
    """A value of JSON as an annotation has it; lists become tuples where it says so.

    Args:
        value: of JSON.
        kind: `Any`, `None`, `bool`, `int` (64 bits), `float` (finite), `str`, a `Literal`, a
            `TypedDict`, or lists, tuples, dicts and unions of these.
        name: of the value, for the message.

    Raises:
        ValueError: naming it, what it is and what it has to be.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        for part in parts:
            try:
                return validated(value, part, name)
            except ValueError:
                continue
    elif (
        kind is Any
        or (origin is Literal and isinstance(value, str) and value in parts)
        or (origin is None and kind in _PLAIN and _PLAIN[kind](value))
    ):
        return value
    elif origin is list and isinstance(value, list):
        return [validated(one, parts[0], f"{name}[{k}]") for k, one in enumerate(value)]
    elif origin is tuple and isinstance(value, list):
        kinds = (parts[0],) * len(value) if parts[1:] == (...,) else parts
        if len(kinds) == len(value):
            each = enumerate(zip(value, kinds, strict=True))
            return tuple(validated(one, part, f"{name}[{k}]") for k, (one, part) in each)
    elif origin is dict and isinstance(value, dict):
        return {key: validated(one, parts[1], f"{name}.{key}") for key, one in value.items()}
    elif is_typeddict(kind) and isinstance(value, dict):
        return validated_keys(value, get_type_hints(kind, include_extras=True), f"{name}.")
    text = repr(value)
    raise ValueError(
        f"{name} must be {_spelled(kind)}, not {text if len(text) <= 80 else text[:77] + '...'}"
    )


def validated_keys(
    value: dict[str, Any], kinds: dict[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """A JSON object with these keys and no others, each as `validated` gives it.

    Args:
        value: the object.
        kinds: annotations by key; those that are `NotRequired` may be missing.
        prefix: of the keys, for the message.

    Raises:
        ValueError: naming keys that are missing or unknown, or as `validated`.
    """
    required = {key for key, kind in kinds.items() if get_origin(kind) is not NotRequired}
    odd = (required - value.keys()) | (value.keys() - kinds.keys())
    if odd:
        keys = ", ".join(sorted(f"{prefix}{key}" for key in odd))
        raise ValueError(f"keys missing or unknown: {keys}")
    inner = {key: kind if key in required else get_args(kind)[0] for key, kind in kinds.items()}
    return {key: validated(one, inner[key], f"{prefix}{key}") for key, one in value.items()}


def _spelled(kind: Any) -> str:
    """What a value has to be, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_spelled, parts))
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin is tuple and parts[1:] != (...,):
        return f"a list of {len(parts)}"
    return "a list" if origin in (list, tuple) else _WORDS.get(kind, "an object")
