"""Objects of Python that a run is handed, and the names by which its record knows them."""

from __future__ import annotations

from functools import partial
from typing import Any

from exeunt.errors import ExeuntError


def qualified_name(thing: Any) -> str:
    """`my_module:Focal`; of an instance that of its class, of a `partial` its arguments too."""
    if isinstance(thing, partial):
        arguments = [repr(value) for value in thing.args]
        arguments += [f"{key}={value!r}" for key, value in sorted(thing.keywords.items())]
        return f"{qualified_name(thing.func)}({', '.join(arguments)})"
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def missing_object(setting: str, name: str) -> ExeuntError:
    """What to raise where a run names an object that it was not handed."""
    return ExeuntError(
        f"{setting}={name!r} is an object of Python's, not a name; hand it over: "
        f"exeunt.train(..., {setting}={name.partition(':')[2]})"
    )
