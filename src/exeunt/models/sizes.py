"""Sizes that builders take: whole numbers of at least 1."""

from __future__ import annotations

from collections.abc import Sequence

from exeunt.errors import ExeuntError


def check_sizes(**sizes: int | Sequence[int]) -> None:
    """Refuses what is not a whole number of at least 1, or a non-empty sequence of them.

    Raises:
        ExeuntError: naming the size.
    """
    for name, value in sizes.items():
        parts = value if isinstance(value, Sequence) else (value,)
        if not parts or any(not isinstance(part, int) or part < 1 for part in parts):
            raise ExeuntError(f"{name}={value!r}; give whole numbers of at least 1")
