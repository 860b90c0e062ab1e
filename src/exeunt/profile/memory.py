"""The peak memory of a network by one convention, and who holds it when."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from exeunt.errors import ExeuntError, one_of

ELEMENT_BYTES = {"float32": 4, "int8": 1}
"""Bytes of a number, by the name of its type."""

_NAMED = 3  # holders that a sentence names


@dataclass(frozen=True)
class Span:
    """A place in memory that one tensor, or an operator for itself, has from step to step.

    Attributes:
        name: of the tensor; of the operator, with a note in brackets, for what that keeps.
        first: the step from which on it is taken.
        last: the step after which it is free.
        offset_bytes: where it begins.
        size_bytes: of it.
    """

    name: str
    first: int
    last: int
    offset_bytes: int
    size_bytes: int

    @property
    def role(self) -> str:
        """What it is for: `image`, `maps`, `kept` for what an operator keeps between rows, or
        `exits` for their tensors.
        """
        if self.name == "image":
            return "image"
        if ".exit" in self.name:
            return "exits"
        return "kept" if self.name.endswith("(kept)") else "maps"


@dataclass(frozen=True)
class Peak:
    """The step at which most is held at once.

    Attributes:
        step: the first such.
        module: path of the module that runs then, or of the block.
        live_bytes: held then.
        holders: what holds it, largest first, with its bytes.
    """

    step: int
    module: str
    live_bytes: int
    holders: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        named = [f"{name} ({spell_bytes(size)})" for name, size in self.holders[:_NAMED]]
        rest = self.holders[_NAMED:]
        if rest:
            others = f"{len(rest)} other{'s' if len(rest) > 1 else ''}"
            named.append(f"{others} ({spell_bytes(sum(size for _, size in rest))})")
        together = ", ".join(named[:-1]) + " and " if len(named) > 1 else ""
        return f"{spell_bytes(self.live_bytes)} at {self.module}: {together}{named[-1]}"


@dataclass(frozen=True)
class Cut:
    """One way to buy memory with multiply-adds, see `exeunt.profile.optimised`.

    Attributes:
        block: path of the block behind which the network is cut; empty where it is not.
        size_bytes: peak memory then.
        macs: multiply-adds of the whole network then.
    """

    block: str
    size_bytes: int
    macs: int


@dataclass(frozen=True)
class Memory:
    """Peak memory for one image by one convention; what the convention has not is None.

    Attributes:
        convention: its name, one of `exeunt.profile.CONVENTIONS`.
        dtype: type of the numbers, one of `ELEMENT_BYTES`.
        total_bytes: the figure: what an image needs that goes to the last exit.
        exit_bytes: what one needs that leaves at each exit (E); by plan, the end of the highest
            place that it has used.
        steps: path of the module, or of the block, that runs at each step.
        exit_steps: the last step of each stage (E).
        spans: who holds what when; none before the cut of `memory-optimised`.
        arena_bytes: of the array that tensors live in.
        row_window_bytes: `streamed`: of the rows of the image in it, which are held at once.
        bound_bytes: the most that is held at once: no plan of this order needs less.
        least_bytes: `streamed`: the same with what lies between places that begin at whole words;
            a total that meets it is proved least for its order of rows.
        without_image_bytes: `layerwise`: of the array, if the image is read from elsewhere.
        macs: `memory-optimised`: multiply-adds, with all that is computed again.
        recompute_free_bytes: `memory-optimised`: the published least without computing again, block
            by block; None for networks without inverted residuals, for which it was published.
        cuts: `memory-optimised`: all ways, of which the figure is that with the smallest peak.
    """

    convention: str
    dtype: str
    total_bytes: int
    exit_bytes: tuple[int, ...]
    steps: tuple[str, ...] = field(repr=False)
    exit_steps: tuple[int, ...] = field(repr=False)
    spans: tuple[Span, ...] = field(repr=False)
    arena_bytes: int | None = None
    row_window_bytes: int | None = None
    bound_bytes: int | None = None
    least_bytes: int | None = None
    without_image_bytes: int | None = None
    macs: int | None = None
    recompute_free_bytes: int | None = None
    cuts: tuple[Cut, ...] = field(default=(), repr=False)

    @cached_property
    def live_bytes(self) -> np.ndarray:
        """Bytes held at each step (int64)."""
        return live_bytes(self.spans, len(self.steps))

    @property
    def is_least(self) -> bool:
        """Whether no arena for the same order of rows can be smaller."""
        return self.least_bytes == self.total_bytes

    @cached_property
    def exit_bound_bytes(self) -> tuple[int, ...]:
        """The most that is held at once up to each exit (E): a network that ended there would need
        no less.
        """
        return tuple(int(self.live_bytes[: step + 1].max()) for step in self.exit_steps)

    @cached_property
    def peak(self) -> Peak:
        """Where most is held, and by whom."""
        step = int(self.live_bytes.argmax())
        held: Counter[str] = Counter()
        for span in self.spans:
            if span.first <= step <= span.last:
                held[span.name] += span.size_bytes
        live = int(self.live_bytes[step])
        return Peak(step, self.steps[step], live, tuple(held.most_common()))

    def to_dict(self) -> dict[str, Any]:
        """Sizes and the peak under stable keys; those that the convention has not are absent."""
        sizes = {
            "total_bytes": self.total_bytes,
            "arena_bytes": self.arena_bytes,
            "row_window_bytes": self.row_window_bytes,
            "bound_bytes": self.bound_bytes,
            "least_bytes": self.least_bytes,
            "without_image_bytes": self.without_image_bytes,
            "recompute_free_bytes": self.recompute_free_bytes,
            "macs": self.macs,
        }
        found: dict[str, Any] = {key: value for key, value in sizes.items() if value is not None}
        found["exit_bytes"] = list(self.exit_bytes)
        if self.bound_bytes is not None:
            found["exit_bound_bytes"] = list(self.exit_bound_bytes)
        found["peak"] = {
            "module": self.peak.module,
            "live_bytes": self.peak.live_bytes,
            "holders": [{"name": name, "bytes": size} for name, size in self.peak.holders],
        }
        if self.cuts:
            found["cuts"] = [
                {"block": cut.block, "total_bytes": cut.size_bytes, "macs": cut.macs}
                for cut in self.cuts
            ]
        return found


def short_path(text: str) -> str:
    """Paths in a text without what all of them begin with."""
    text = re.sub(r"stages\.(\d+)\.exit", lambda match: f"exit {int(match[1]) + 1}", text)
    return re.sub(r"stages\.\d+\.trunk\.", "", text)


def live_bytes(spans: Sequence[Span], steps: int) -> np.ndarray:
    """Bytes held at each of the steps (int64)."""
    change = np.zeros(steps + 1, dtype=np.int64)
    for span in spans:
        change[span.first] += span.size_bytes
        change[span.last + 1] -= span.size_bytes
    return change.cumsum()[:-1]


def reached_bytes(spans: Sequence[Span], exit_steps: Sequence[int]) -> tuple[int, ...]:
    """The end of the highest place that is used up to each of the steps."""
    return tuple(
        max(span.offset_bytes + span.size_bytes for span in spans if span.first <= step)
        for step in exit_steps
    )


def bytes_of(dtype: str) -> int:
    """Bytes of a number of that type.

    Raises:
        ExeuntError: for another type.
    """
    if dtype not in ELEMENT_BYTES:
        raise ExeuntError(f"dtype={dtype!r}; {one_of(dtype, ELEMENT_BYTES)}")
    return ELEMENT_BYTES[dtype]


def spell_bytes(size_bytes: int) -> str:
    """`245.0 KiB`, `2.297 MiB`, `196 B`: in units of 1024."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    if size_bytes < 1024**2:
        return f"{size_bytes / 1024:.1f} KiB"
    return f"{size_bytes / 1024**2:.3f} MiB"
