"""The one exception that means: what the user gave cannot be used, and here is why."""

from __future__ import annotations


class ExeuntError(ValueError):
    """Raised for input that is wrong; the message names it, its value and what would be valid.

    The command line prints the message alone, without a traceback.
    """


def expect(call: str, name: str, value: object, *kinds: type) -> None:
    """Refuses an argument of another type, as when two change places.

    Args:
        call: the function with the names of its arguments in order, such as `f(path, table)`.
        name: of the argument.
        value: that was given.
        kinds: that it may be of.

    Raises:
        ExeuntError: naming the call, the argument and both types.
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ExeuntError(f"{call}: {name} must be of type {wanted}, not {type(value).__name__}")
