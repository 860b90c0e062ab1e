"""Checks of what operators and builders are given: sizes, and the maps that are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.fx import Proxy

from exeunt.errors import ExeuntError


def require_positive(owner: str, **sizes: int | Sequence[int]) -> None:
    """Raises `ExeuntError` naming the owner and the first size that is no integer above 0.

    A sequence must hold such integers, and at least one.
    """
    for name, size in sizes.items():
        parts = size if isinstance(size, Sequence) else (size,)
        if not parts or any(not isinstance(part, int) or part < 1 for part in parts):
            wanted = "whole numbers" if parts is size else "a whole number"
            raise ExeuntError(f"{owner}: {name}={size!r}; give {wanted} of at least 1")


def require_map(operator: str, x: Tensor, channels: int) -> None:
    """Raises `ExeuntError` unless x is (N, channels, H, W), and not one of `torch.fx`."""
    if isinstance(x, Proxy):
        raise ExeuntError(
            f"{operator}: torch.fx.symbolic_trace does not know the size of the map, on which the "
            "steps depend; use torch.export.export, or a Tracer whose is_leaf_module keeps "
            f"{operator}"
        )
    if x.dim() != 4 or x.shape[1] != channels:
        raise ExeuntError(
            f"{operator}: got an input of shape {tuple(x.shape)}; expected (N, {channels}, H, W)"
        )


def require_unpacked(operator: str, parts: Iterable[nn.Module]) -> None:
    """Raises `ExeuntError` for parts whose weights `torch.ao.quantization` has packed away, so that
    nobody else can read them.
    """
    for part in parts:
        if type(part).__module__.startswith("torch.ao."):
            raise ExeuntError(
                f"{operator}: its {type(part).__name__} was quantised by torch.ao, which packs the "
                "weights that are read here; use `exeunt export --dtype int8` or "
                "exeunt.quantize instead"
            )
