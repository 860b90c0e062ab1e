"""The compiled library: found, checked, and told which instruction set to use."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from exeunt.errors import ExeuntError
from exeunt.native.build import LIBRARY, digest, is_whole

VARIABLE = "EXEUNT_NATIVE"
SIMD = ("scalar", "128", "avx2", "avx512")
"""Instruction sets, plainest first: C alone; SSE2 or NEON, which every x86-64 and aarch64 has."""

_REBUILD = "python -m exeunt.native"


@dataclass(frozen=True)
class Native:
    """The kernels of one instruction set.

    Attributes:
        library: that has them.
        simd: one of `SIMD`.
    """

    library: ctypes.CDLL
    simd: str

    @property
    def number(self) -> int:
        """What C calls the instruction set."""
        return SIMD.index(self.simd)


def native() -> Native | None:
    """The kernels to use, or None where torch or onnxruntime is to do their work.

    Raises:
        ExeuntError: when `EXEUNT_NATIVE` asks for what there is not.
    """
    return _chosen(os.environ.get(VARIABLE, "1"))


def in_use() -> str:
    """The instruction set in use, or `none` and why."""
    found = native()
    if found is not None:
        return found.simd
    if os.environ.get(VARIABLE) == "0":
        return f"none ({VARIABLE}=0)"
    return f"none ({_loaded() if isinstance(_loaded(), str) else 'no vectors here'})"


@contextmanager
def using(wish: str) -> Iterator[None]:
    """`EXEUNT_NATIVE` is `wish` inside the block: to compare one way with another."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = wish
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


@cache
def _chosen(wish: str) -> Native | None:
    if wish == "0":
        return None
    library = _loaded()
    there: list[str] = []
    if isinstance(library, ctypes.CDLL):
        there = [simd for number, simd in enumerate(SIMD) if library.exeunt_has(number)]
        if wish in there:
            return Native(library, wish)
    if wish != "1":
        raise ExeuntError(f"{VARIABLE}={wish!r}; one of {', '.join(('0', '1', *there))}")
    vectors = there[1:]  # without any, torch is faster
    return Native(library, vectors[-1]) if isinstance(library, ctypes.CDLL) and vectors else None


@cache
def _loaded() -> ctypes.CDLL | str:
    """The library, or why it cannot be had."""
    if not LIBRARY.exists():
        return f"not compiled; {_REBUILD}"
    if not is_whole(LIBRARY):
        return f"{LIBRARY} is not what was compiled; {_REBUILD}"
    try:
        library = ctypes.CDLL(str(LIBRARY))
        library.exeunt_sources.restype = ctypes.c_char_p
        sources = library.exeunt_sources().decode()
    except (OSError, AttributeError) as error:
        return f"{LIBRARY} cannot be loaded: {error}"
    return library if sources == digest() else f"compiled from other sources; {_REBUILD}"
