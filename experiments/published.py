"""Figures as a paper prints them, and whether ours would print the same."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNITS = {"KB": 1024, "MB": 1024**2, "M": 1e6, "G": 1e9}  # the papers' KB and MB are KiB and MiB


@dataclass(frozen=True)
class Printed:
    """A figure such as `3.1MB`, `245KB`, `0.24G` or `20M`.

    Attributes:
        text: as printed.
    """

    text: str

    @property
    def unit(self) -> float:
        """What 1 of its unit is."""
        return UNITS[self._parts[1]]

    @property
    def value(self) -> float:
        """In bytes, parameters or multiply-adds."""
        return float(self._parts[0]) * self.unit

    @property
    def _parts(self) -> tuple[str, str]:
        match = re.fullmatch(r"([\d.]+)([A-Z]+)", self.text)
        assert match is not None, self.text
        return match[1], match[2]

    def ours(self, value: float) -> str:
        """Our value in its unit, with two digits more than it has."""
        digits = len(self._parts[0].partition(".")[2]) + 2
        return f"{value / self.unit:.{digits}f}{self._parts[1]}"

    def ratio(self, value: float) -> str:
        """Our value in terms of it."""
        return f"{value / self.value:.2f}"

    def agrees(self, value: float) -> bool:
        """Whether our value, rounded to its digits, is it."""
        digits = len(self._parts[0].partition(".")[2])
        return f"{value / self.unit:.{digits}f}" == self._parts[0]

    def verdict(self, value: float, reason: str = "") -> str:
        """`reproduced`, or that and why it differs."""
        if self.agrees(value):
            return "reproduced"
        return f"differs: {reason}" if reason else "differs"
