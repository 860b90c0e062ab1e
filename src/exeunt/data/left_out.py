"""What was found where the images are, but is not among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

_SHOWN = 8


@dataclass
class LeftOut:
    """What a reader did not use, counted by kind; as text, these on one line.

    Attributes:
        kinds: Of each kind, how often it was met, and the first that was.
    """

    kinds: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, kind: str, name: str, count: int = 1) -> None:
        """Count `name`. Its kind is a suffix such as ".txt", or a noun that gets an "s"."""
        known, first = self.kinds.get(kind, (0, name))
        self.kinds[kind] = known + count, first

    def include(self, other: LeftOut) -> None:
        """Count all that `other` did."""
        for kind, (count, first) in other.kinds.items():
            self.add(kind, first, count)

    @property
    def note(self) -> str:
        """All of it in one line; empty if it is nothing."""
        return f"left out: {self}" if self.kinds else ""

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def __str__(self) -> str:
        ranked = sorted(self.kinds.items(), key=lambda entry: (-entry[1][0], entry[0]))
        parts = [_part(kind, count, first) for kind, (count, first) in ranked[:_SHOWN]]
        if rest := ranked[_SHOWN:]:
            parts.append(f"{sum(count for _, (count, _) in rest)} of {len(rest)} other kinds")
        return ", ".join(parts)


def kind_of_file(name: str) -> str:
    """The kind of a file that is no image, by its name: its suffix, as a rule."""
    if name.startswith("."):
        return "hidden file"
    return PurePath(name).suffix.lower() or "suffixless file"


def listed(names: Iterable[str], most: int = _SHOWN) -> str:
    """Names with commas between; those beyond `most` are counted."""
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _part(kind: str, count: int, first: str) -> str:
    several = count > 1
    noun = f"{kind}s" if several and not kind.startswith(".") else kind
    return f"{count} {noun} ({first}{', ...' if several else ''})"
