"""What is raised for input that cannot be used, and what is warned of when it can."""

from __future__ import annotations


class ExeuntError(ValueError):
    """Raised for input that is wrong; the message names it, its value and what would be valid.

    The command line prints the message alone, without a traceback.
    """


class ExeuntWarning(UserWarning):
    """Warned of where something was left out or is not as it seems, and the work goes on.

    The command line prints the message alone, on stderr.
    """


class ExeuntNote(ExeuntWarning):
    """Warned of what need not worry, such as files of a data set that are no images."""
