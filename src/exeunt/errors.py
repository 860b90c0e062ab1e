"""The one exception that means: what the user gave cannot be used, and here is why."""

from __future__ import annotations


class ExeuntError(ValueError):
    """Raised for input that is wrong; the message names it, its value and what would be valid.

    The command line prints the message alone, without a traceback.
    """
