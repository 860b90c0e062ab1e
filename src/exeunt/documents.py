"""Text, JSON and TOML that anybody may have written: bounded, and refused by the file's name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_type_hints

from exeunt.errors import ExeuntError
from exeunt.runner.document import MOST_BYTES, bytes_of, refuse_depth
from exeunt.runner.document import parse_json as _parse_json
from exeunt.runner.error import RunnerError
from exeunt.runner.schema import validated_keys


@contextmanager
def naming(source: str | Path) -> Iterator[None]:
    """Puts `source` before the message of an `ExeuntError` raised inside that does not name it."""
    try:
        yield
    except ExeuntError as error:
        if str(source) in str(error):
            raise
        raise ExeuntError(f"{source}: {error}") from error


def read_text(path: str | Path, most_bytes: int = MOST_BYTES) -> str:
    """An ordinary file of text in UTF-8, with or without a byte order mark.

    Raises:
        ExeuntError: naming it, when it cannot be read, is too large or is in no UTF-8.
    """
    try:
        return bytes_of(Path(path), most_bytes).decode("utf-8-sig")
    except RunnerError as error:
        raise ExeuntError(str(error)) from error
    except UnicodeDecodeError as error:
        raise ExeuntError(f"{path}: not a text file in UTF-8 ({error})") from error


def parse_json(
    text: str, source: str | Path, hook: Callable[[dict[str, Any]], Any] | None = None
) -> Any:
    """Reads JSON, no deeper than 64 levels and no key twice in an object.

    Args:
        text: of it.
        source: where it comes from, for the message.
        hook: what to make of an object, innermost first.

    Raises:
        ExeuntError: naming `source` and what is wrong.
    """
    try:
        return _parse_json(text, hook)
    except ValueError as error:
        raise ExeuntError(f"{source}: not JSON ({error})") from error


def parse_toml(text: str, source: str | Path) -> dict[str, Any]:
    """Reads TOML, no deeper than 64 levels.

    Raises:
        ExeuntError: naming `source` and what is wrong.
    """
    try:
        found = tomllib.loads(text)
        refuse_depth(found)
    except RecursionError:
        raise ExeuntError(f"{source}: not TOML (too deep)") from None
    except ValueError as error:
        raise ExeuntError(f"{source}: not TOML ({error})") from error
    return found


def parse_pairs(pairs: Iterable[str] | None, source: str) -> dict[str, Any]:
    """Values by key: `width=0.5`, or `rex_form.cell=gru` for a part of a mapping.

    A value is a TOML value (a number, true, a list, ...) or else a word.

    Args:
        pairs: KEY=VALUE each.
        source: to name in messages.

    Raises:
        ExeuntError: for what is not KEY=VALUE, or a list or mapping that is no TOML.
    """
    found: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        *groups, last = key.split(".")
        if not (equals and text and all(part.isidentifier() for part in (*groups, last))):
            raise ExeuntError(f"{source} {pair}: give KEY=VALUE, such as width=0.6")
        inner = found
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise ExeuntError(f"{source} {pair}: {group} has a value already, {inner!r}")
        if isinstance(inner.get(last), dict):
            raise ExeuntError(f"{source} {pair}: {key} has parts already, {', '.join(inner[last])}")
        inner[last] = _value(key, text, source)
    return found


def _value(key: str, text: str, source: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text[0] in "[{":
            raise ExeuntError(
                f"{source} {key}={text}: {error}; this must be TOML, with words in double quotes "
                "and all of it in single quotes for the shell; a part of a mapping can also be set "
                f"alone, {source} {key}.PART=VALUE"
            ) from None
        return text
    except RecursionError:
        raise ExeuntError(f"{source} {key}: lists too deep in each other") from None


def fields_of(cls: type, values: Any, source: str | Path) -> dict[str, Any]:
    """The fields of a dataclass from a JSON object, each of the type that it is annotated with.

    Lists become tuples where the annotation says so.

    Raises:
        ExeuntError: naming `source`, for a key that is missing or unknown or a value of another
            type.
    """
    if not isinstance(values, dict):
        raise ExeuntError(f"{source}: must be a JSON object, not {type(values).__name__}")
    hints = get_type_hints(cls)
    try:
        return validated_keys(values, hints)
    except ValueError as error:
        raise ExeuntError(f"{source}: {error}") from error
