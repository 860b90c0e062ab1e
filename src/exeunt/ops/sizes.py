"""Checks of what operators are given: their sizes, and the maps they read."""

from __future__ import annotations

from torch import Tensor

from exeunt.errors import ExeuntError


def require_positive(operator: str, **sizes: int) -> None:
    """Raises `ExeuntError` naming the operator and the first size that is no integer above 0."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ExeuntError(f"{operator}: {name}={size!r}; give a whole number of at least 1")


def require_map(operator: str, x: Tensor, channels: int) -> None:
    """Raises `ExeuntError` unless x is (N, channels, H, W)."""
    if x.dim() != 4 or x.shape[1] != channels:
        raise ExeuntError(
            f"{operator}: got an input of shape {tuple(x.shape)}; expected (N, {channels}, H, W)"
        )
