"""What a network costs before it is run: multiply-adds, bytes and milliseconds at every exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from exeunt.errors import ExeuntError, one_of
from exeunt.graph import Graph, build_graph
from exeunt.html import html_bars, html_table
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet
from exeunt.profile.counts import Counts
from exeunt.profile.latency import Latency
from exeunt.profile.memory import ELEMENT_BYTES, Memory, bytes_of, spell_bytes
from exeunt.profile.optimised import optimised_memory, paper_memory
from exeunt.profile.planned import layerwise_memory, streamed_memory
from exeunt.text import figure, millions, percent

CONVENTIONS: dict[str, Callable[[Graph, str], Memory]] = {
    "paper": paper_memory,
    "memory-optimised": optimised_memory,
    "layerwise": layerwise_memory,
    "streamed": streamed_memory,
}
"""What peak memory may mean, by name: from a graph and a dtype to what that finds."""


@dataclass(frozen=True)
class Shares:
    """Where images left.

    Attributes:
        policy: spec of the policy that let them.
        samples: how many there were.
        shares: of them that took each exit (E), summing to 1.
    """

    policy: str
    samples: int
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Profile:
    """What one network costs for one image.

    Attributes:
        model: what it is called.
        image_size: (H, W).
        exits: paths of the exit heads (E).
        exit_parameters: numbers that are learned, up to each exit (E).
        counts: multiply-adds.
        memories: one for each convention and dtype.
        latencies: one for each engine that was measured.
        shares: by which means over images are taken, if they are known.
    """

    model: str
    image_size: tuple[int, int]
    exits: tuple[str, ...]
    exit_parameters: tuple[int, ...]
    counts: Counts
    memories: tuple[Memory, ...]
    latencies: tuple[Latency, ...] = ()
    shares: Shares | None = None

    def __repr__(self) -> str:
        height, width = self.image_size
        return (
            f"Profile({self.model}, {height} x {width} px, {len(self.exits)} exits, "
            f"{millions(self.counts.total)} multiply-adds, {len(self.memories)} memories, "
            f"{len(self.latencies)} latencies)"
        )

    def _repr_html_(self) -> str:
        """Exits with their costs; memory of the dtype that was asked for first."""
        shown = [one for one in self.memories if one.dtype == self.memories[0].dtype]
        columns = ["exit", "parameters", "MACs", "of full"]
        columns += [f"{one.convention} {one.dtype}" for one in shown]
        columns += [f"ms, {one.engine}" for one in self.latencies]
        rows = [
            [
                *(str(k + 1), millions(self.exit_parameters[k]), millions(macs)),
                percent(macs / self.counts.total),
                *(spell_bytes(one.exit_bytes[k]) for one in shown),
                *(figure(one.median_ms[k]) for one in self.latencies),
            ]
            for k, macs in enumerate(self.counts.exits)
        ]
        shares = [macs / self.counts.total for macs in self.counts.exits]
        names = [percent(share) for share in shares]
        return html_table(columns, rows, "r" * len(columns), repr(self)) + html_bars(
            shares, names, "multiply-adds up to each exit, of the whole network's"
        )

    def memory(self, convention: str, dtype: str = "float32") -> Memory:
        """That of one convention.

        Raises:
            ExeuntError: when it was not asked for.
        """
        for memory in self.memories:
            if (memory.convention, memory.dtype) == (convention, dtype):
                return memory
        there = ", ".join(f"{m.convention} {m.dtype}" for m in self.memories)
        raise ExeuntError(f"no memory by {convention} for {dtype}; there is {there or 'none'}")

    @property
    def mean_macs(self) -> float | None:
        """Multiply-adds of an image on average; None where nobody knows where images leave."""
        if self.shares is None:
            return None
        return sum(s * m for s, m in zip(self.shares.shares, self.counts.exits, strict=True))

    def with_shares(self, shares: Shares) -> Profile:
        """The same, with means over images.

        Raises:
            ExeuntError: when there is not one share for each exit.
        """
        if len(shares.shares) != len(self.exits):
            raise ExeuntError(
                f"{self.model} has {len(self.exits)} exits, the recording {len(shares.shares)}"
            )
        return replace(self, shares=shares)

    def to_dict(self) -> dict[str, Any]:
        """All of it but the timelines, under stable keys; `docs/memory.md` explains them."""
        memory: dict[str, dict[str, Any]] = {}
        for found in self.memories:
            memory.setdefault(found.convention, {})[found.dtype] = found.to_dict()
        record: dict[str, Any] = {
            "kind": "profile",
            "model": self.model,
            "image_size": list(self.image_size),
            "parameters": self.exit_parameters[-1],
            "macs": self.counts.to_dict(),
            "exits": [self._exit(k) for k in range(len(self.exits))],
            "memory": memory,
            "latency": {latency.engine: latency.to_dict() for latency in self.latencies},
        }
        if self.shares is not None:
            record["mean"] = {
                "policy": self.shares.policy,
                "samples": self.shares.samples,
                "exit_shares": list(self.shares.shares),
                "macs": self.mean_macs,
                "latency_ms": {
                    latency.engine: latency.mean_ms(self.shares.shares)
                    for latency in self.latencies
                },
            }
        return record

    def _exit(self, k: int) -> dict[str, Any]:
        memory: dict[str, dict[str, int]] = {}
        for found in self.memories:
            memory.setdefault(found.convention, {})[found.dtype] = found.exit_bytes[k]
        return {
            "exit": k + 1,
            "module": self.exits[k],
            "parameters": self.exit_parameters[k],
            "macs": self.counts.exits[k],
            "per_patch_macs": self.counts.per_patch_exits[k],
            "peak_bytes": memory,
            "latency_ms": {one.engine: one.median_ms[k] for one in self.latencies},
        }


def profile(
    net: MultiExitNet,
    image_size: int | tuple[int, int],
    *,
    name: str = "",
    conventions: Sequence[str] = tuple(CONVENTIONS),
    dtypes: Sequence[str] = tuple(ELEMENT_BYTES),
    on_part: Callable[[str], None] | None = None,
) -> Profile:
    """Counts a network and plans its memory; nothing is trained, and the net is left as it is.

    Latency is measured apart: `replace(profile, latencies=(measure_latency(...),))`.

    Args:
        net: any multi-exit net, trained or not; of yours, what `attach_exits` gives.
        image_size: height and width, or one number for both.
        name: what to call it; by default its class.
        conventions: of `CONVENTIONS`.
        dtypes: of `ELEMENT_BYTES`.
        on_part: called with what is done next, before each part.

    Raises:
        ExeuntError: for an unknown convention or dtype, images that the net cannot take, or a stage
            that cannot be exported.
    """
    for convention in conventions:
        if convention not in CONVENTIONS:
            raise ExeuntError(
                f"unknown convention {convention!r}; {one_of(convention, CONVENTIONS)}"
            )
    for dtype in dtypes:
        bytes_of(dtype)
    tell = on_part or (lambda part: None)
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    _try(net, height, width)
    tell("graph")
    graph = build_graph(net, (height, width), opaque=True)
    memories = []
    for convention in conventions:
        for dtype in dtypes:
            tell(f"{convention}, {dtype}")
            memories.append(CONVENTIONS[convention](graph, dtype))
    return Profile(
        name or type(net).__name__,
        (height, width),
        tuple(f"stages.{k}.exit" for k in range(net.num_exits)),
        _exit_parameters(net),
        Counts.of(graph),
        tuple(memories),
    )


@torch.no_grad()
def _try(net: MultiExitNet, height: int, width: int) -> None:
    """Lets one image go through.

    Raises:
        ExeuntError: when the net cannot take images of that size.
    """
    if min(height, width) < 1:
        raise ExeuntError(f"images of {height} x {width} pixels; give at least 1 x 1")
    weight = next(net.parameters())
    with evaluating(net):
        try:
            net(weight.new_zeros(1, net.in_chans, height, width))
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ExeuntError(
                f"the network cannot take images of {height} x {width} pixels: {reason}"
            ) from error


def _exit_parameters(net: MultiExitNet) -> tuple[int, ...]:
    seen: set[int] = set()
    totals, total = [], 0
    for stage in net.stages:
        for parameter in stage.parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                total += parameter.numel()
        totals.append(total)
    return tuple(totals)
