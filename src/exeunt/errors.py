"""What is raised for input that cannot be used, and what is warned of when it can."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExeuntError(ValueError):
    """Raised for input that is wrong; the message names it, its value and what would be valid.

    The command line prints the message alone, without a traceback.
    """


class WriteError(ExeuntError, OSError):
    """Raised when something cannot be written; the message names it as the user did, and says why.

    It is an `OSError` too, for who handles full disks apart from wrong input.
    """


class ExeuntWarning(UserWarning):
    """Warned of where something was left out or is not as it seems, and the work goes on.

    The command line prints the message alone, on stderr.
    """


class ExeuntNote(ExeuntWarning):
    """Warned of what need not worry, such as files of a data set that are no images."""


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


def nearest(name: object, valid: Iterable[str]) -> list[str]:
    """At most three valid names that a name may have been meant for, the likeliest first."""
    return difflib.get_close_matches(str(name), list(valid), n=3, cutoff=0.6)


def one_of(name: object, valid: Iterable[str]) -> str:
    """The end of a sentence about a name that is none: `did you mean width? one of width, dropout`.

    Args:
        name: What the user gave.
        valid: What may be given.
    """
    valid = list(valid)
    near = nearest(name, valid)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{guess}one of {', '.join(valid)}" if valid else "none is known"
