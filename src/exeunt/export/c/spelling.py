"""Text of users in C source: what a compiler reads is that text and nothing else."""

from __future__ import annotations

import re

from exeunt.errors import ExeuntError

LONGEST_BYTES = 4095
"""Of a string that every C99 compiler takes."""

_ASIS = frozenset(range(0x20, 0x7F)) - set(b'"\\?')


def string(text: str) -> str:
    """A string literal of the text in UTF-8, with all that is not plain ASCII as octal escapes.

    A name of a file that is no UTF-8 keeps its bytes. `?` is escaped too, so that there are no
    trigraphs.

    Raises:
        ExeuntError: for what no string of C holds: a NUL, at which it would end, half of a pair of
            surrogates, or more than `LONGEST_BYTES`.
    """
    try:
        found = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ExeuntError(
            f"class name {text!r}: {text[error.start]!r} is half of a character; rename the class"
        ) from error
    if 0 in found:
        raise ExeuntError(
            f"class name {text!r} holds a NUL, at which strings end in C; rename the class"
        )
    if len(found) > LONGEST_BYTES:
        raise ExeuntError(
            f"class name {text[:20]!r}... has {len(found)} bytes; strings in C have at most "
            f"{LONGEST_BYTES}"
        )
    return '"' + "".join(map(_escaped, found)) + '"'


def comment(text: str) -> str:
    """The text as one line of plain ASCII that neither ends a comment nor begins one.

    What is no printable ASCII is told as Python escapes it.
    """
    plain = re.sub("[^ -~]", lambda found: found[0].encode("unicode_escape").decode(), text)
    parted = re.sub(r"(?<=\*)(?=/)|(?<=/)(?=\*)|(?<=\?)(?=\?)", " ", plain)
    return parted + " ." if parted.endswith("\\") else parted


def _escaped(byte: int) -> str:
    if byte in _ASIS:
        return chr(byte)
    return "\\?" if byte == ord("?") else f"\\{byte:03o}"
