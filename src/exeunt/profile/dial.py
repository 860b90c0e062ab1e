"""What memory costs in multiply-adds, where expanded rows are expanded again and not kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from exeunt.graph import Graph, StreamedPlan, dial
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
        factor: of the multiply-adds in which nothing is.
        recomputed: modules that expand again, in order.
    """

    dtype: str
    arena_bytes: int
    least_bytes: int
    macs: int
    factor: float
    recomputed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, by name."""
        return {**asdict(self), "recomputed": list(self.recomputed)}


def dial_points(graph: Graph, dtype: str) -> list[DialPoint]:
    """Plans of falling size and rising cost, as `exeunt.graph.dial` finds them.

    Args:
        graph: of a whole net.
        dtype: of all tensors, one of `ELEMENT_BYTES`.

    Raises:
        ExeuntError: for another type.
    """
    plain = sum(graph.macs.values())
    return [
        DialPoint(
            dtype,
            plan.arena_bytes,
            plan.least_bytes,
            plan.macs,
            plan.macs / plain,
            recomputed_in(plan),
        )
        for plan in dial(graph, bytes_of(dtype))
    ]


def recomputed_in(plan: StreamedPlan) -> tuple[str, ...]:
    """Modules of a plan that expand again."""
    return tuple(
        node.module
        for node in plan.graph.nodes
        if isinstance(node.operator, InvertedResidual) and node.operator.recompute
    )
