"""What memory costs in multiply-adds, where rows are expanded again or stages end elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from exeunt.graph import Graph, StreamedPlan, dial
from exeunt.graph.boundary import original, remade
from exeunt.graph.fuse import InvertedResidual
from exeunt.profile.memory import bytes_of


@dataclass(frozen=True)
class DialPoint:
    """One plan of the dial.

    Attributes:
        dtype: of all tensors.
        arena_bytes: of the plan, the rows of the image included.
        least_bytes: what no arena of its order of rows can be smaller than.
        macs: multiply-adds up to the last exit, with all that is computed again.
        exit_macs: the same up to each exit, with what runs before it for the sake of memory.
        factor: of the multiply-adds of the plain network, images leaving at all exits alike.
        recomputed: modules that expand again, in order.
        later: modules of a later stage that run before an exit answers.
        again: modules that run a second time behind an exit.
    """

    dtype: str
    arena_bytes: int
    least_bytes: int
    macs: int
    exit_macs: tuple[int, ...]
    factor: float
    recomputed: tuple[str, ...]
    later: tuple[str, ...]
    again: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, by name."""
        found = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def dial_points(graph: Graph, dtype: str) -> list[DialPoint]:
    """Plans of falling size and rising cost, as `exeunt.graph.dial` finds them.

    Args:
        graph: of a whole net.
        dtype: of all tensors, one of `ELEMENT_BYTES`.

    Raises:
        ExeuntError: for another type.
    """
    plain = sum(graph.exit_macs)
    stages = {node.output: k for k, stage in enumerate(graph.stages) for node in stage.nodes}
    return [
        DialPoint(
            dtype,
            plan.arena_bytes,
            plan.least_bytes,
            plan.macs,
            plan.graph.exit_macs,
            plan.price_macs / plain,
            recomputed_in(plan),
            tuple(
                node.module
                for k, stage in enumerate(plan.graph.stages)
                for node in stage.nodes
                if stages.get(original(node).output, k) > k
            ),
            tuple(node.module for node in remade(plan.graph)),
        )
        for plan in dial(graph, bytes_of(dtype))
    ]


def recomputed_in(plan: StreamedPlan) -> tuple[str, ...]:
    """Modules of a plan that expand again."""
    again = (
        node.module
        for node in plan.graph.nodes
        if isinstance(node.operator, InvertedResidual) and node.operator.recompute
    )
    return tuple(dict.fromkeys(again))  # one that makes bands of columns is there several times
