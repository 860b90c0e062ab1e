"""The one exception that means: what the user gave cannot be used, and here is why."""

from __future__ import annotations


class ExeuntError(ValueError):
    """Raised for input that is wrong; the message names it, its value and what would be valid.

    The command line prints the message alone, without a traceback.
    """


class WriteError(ExeuntError, OSError):
    """Raised when something cannot be written; the message names it as the user did, and says why.

    It is an `OSError` too, for who handles full disks apart from wrong input.
    """
