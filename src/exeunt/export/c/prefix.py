"""The prefix of a network's names and files, which share a program and a folder with others."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from exeunt.errors import ExeuntError

LONGEST = 48

_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept
    const const_cast consteval constexpr constinit continue co_await co_return co_yield decltype
    default delete do double dynamic_cast else enum explicit export extern false float for friend
    goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq
    private protected public register reinterpret_cast requires restrict return short signed sizeof
    static static_assert static_cast struct switch template this thread_local throw true try typedef
    typeid typename typeof union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
_HEADERS = """
    assert complex ctype errno fenv inttypes iso646 limits locale math memory setjmp signal stdalign
    stdarg stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string strings
    tgmath threads time uchar unistd features endian wchar wctype
"""
_WIDTHS = re.compile(  # stdint.h and limits.h have INT8_WIDTH and the like
    r"u?int(_least|_fast)?\d+|u?intptr|u?intmax|u?llong|ulong|ushrt|shrt|uint|schar|uchar|ptrdiff|"
    r"size|wint|sig_atomic"
)
_FOLDERS = """
    build clean cmake example exeunt_runtime makefile micropython python runtime test tests
"""
_PROGRAMS = frozenset({"classify", "main", "self_test"})


def check_prefix(name: str) -> None:
    """Refuses a prefix with which a folder would not compile, in C or from C++.

    Raises:
        ExeuntError: naming it, what it collides with, and what would do.
    """
    if not _FORM.fullmatch(name) or len(name) > LONGEST:
        raise ExeuntError(
            f"{name!r} is no prefix; give small letters, digits and single _ between them, at most "
            f"{LONGEST}, a letter first"
        )
    if taken := _taken(name):
        raise ExeuntError(
            f"{name!r} is no prefix: {taken}; give another, for example {_led(name)!r}"
        )


def prefix_of(text: str) -> str:
    """A prefix made of any text, a folder's name for example: that, or what is nearest to it."""
    kept = "_".join(re.findall(r"[a-z0-9]+", text.lower()))[:LONGEST].strip("_")
    return kept if _FORM.fullmatch(kept) and not _taken(kept) else _led(kept)


def _led(name: str) -> str:
    return f"net_{name}"[:LONGEST].strip("_")


def _taken(name: str) -> str | None:
    """What else is called so."""
    if name in _KEYWORDS.split():
        return "it is a keyword of C or C++"
    if name in _HEADERS.split() or _WIDTHS.fullmatch(name):
        return "the standard library of C has a header or names of this kind"
    if name == "exn" or name.startswith("exn_") or name in _runtime():
        return "the runtime has files or names of this kind"
    if name in _FOLDERS.split():
        return "the exported folder has something else of this name"
    return None


@cache
def _runtime() -> frozenset[str]:
    """Stems of the sources that a program may have beside a network's."""
    devices = files("exeunt") / "runtime" / "devices"
    places = [devices, *(item for item in devices.iterdir() if item.is_dir())]
    found = [item.name for place in places for item in place.iterdir()]
    sources = [name for name in found if name.endswith((".c", ".h"))]
    return _PROGRAMS | {name.rpartition(".")[0] for name in sources}
