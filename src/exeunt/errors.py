"""The one exception that means: what the user gave cannot be used, and here is why."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExeuntError(ValueError):
    """Raised for input that is wrong; the message names it, its value and what would be valid.

    The command line prints the message alone, without a traceback.
    """


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
    return f"{guess}one of {', '.join(valid)}"
