"""Multiply-adds by operator, module, stage and exit; what has no formula is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from exeunt.graph import Composite, Graph, Node, Opaque
from exeunt.graph.operators import Shape
from exeunt.ops.rex import ReX2d


@dataclass(frozen=True)
class OperatorCost:
    """What one operator costs for one image.

    Attributes:
        module: path of the module that it comes from.
        kind: of the operator: `Conv`, `Linear`, `ReX2d`, ...
        stage: that it runs in, counted from 0.
        shape: of what it gives, (C, H, W) or (C,).
        macs: multiply-adds: convolutions, matrices and recurrent cells, nothing else.
        per_patch_macs: the same if ReX were computed patch by patch, without sharing its sweeps.
    """

    module: str
    kind: str
    stage: int
    shape: Shape
    macs: int
    per_patch_macs: int


@dataclass(frozen=True)
class Counts:
    """All operators of a network.

    Attributes:
        operators: in the order in which they run.
        uncounted: what has no formula and counts as 0, as `module (operator)`.
        num_stages: E.
    """

    operators: tuple[OperatorCost, ...] = field(repr=False)
    uncounted: tuple[str, ...]
    num_stages: int

    @classmethod
    def of(cls, graph: Graph) -> Counts:
        """Counts a graph."""
        operators, uncounted = [], []
        for k, stage in enumerate(graph.stages):
            for node in stage.nodes:
                macs = graph.macs[node.output]
                operators.append(
                    OperatorCost(
                        node.module,
                        node.operator.kind,
                        k,
                        graph.shapes[node.output],
                        macs,
                        _per_patch(graph, node, macs),
                    )
                )
                uncounted += _uncounted(graph, node)
        return cls(tuple(operators), tuple(uncounted), len(graph.stages))

    @property
    def total(self) -> int:
        """Multiply-adds of all stages."""
        return sum(operator.macs for operator in self.operators)

    @property
    def single_exit(self) -> int:
        """Multiply-adds without the exits before the last, as networks of one exit are counted."""
        early = tuple(f"stages.{k}.exit." for k in range(self.num_stages - 1))
        return self.total - sum(
            operator.macs for operator in self.operators if f"{operator.module}.".startswith(early)
        )

    @property
    def by_operator(self) -> dict[str, int]:
        """Multiply-adds by kind of operator, dearest first, without those that are free."""
        return _summed((operator.kind, operator.macs) for operator in self.operators)

    @property
    def by_module(self) -> dict[str, int]:
        """Multiply-adds by path of the module, dearest first."""
        return _summed((operator.module, operator.macs) for operator in self.operators)

    @property
    def by_stage(self) -> tuple[int, ...]:
        """Multiply-adds of each stage (E)."""
        return tuple(
            sum(operator.macs for operator in self.operators if operator.stage == k)
            for k in range(self.num_stages)
        )

    @property
    def exits(self) -> tuple[int, ...]:
        """Multiply-adds of an image that leaves at each exit (E)."""
        return tuple(accumulate(self.by_stage))

    @property
    def per_patch_exits(self) -> tuple[int, ...]:
        """The same with ReX patch by patch (E)."""
        saved = [0] * self.num_stages
        for operator in self.operators:
            saved[operator.stage] += operator.per_patch_macs - operator.macs
        return tuple(macs + more for macs, more in zip(self.exits, accumulate(saved), strict=True))

    @property
    def largest(self) -> list[OperatorCost]:
        """Operators that cost anything, dearest first."""
        paid = [operator for operator in self.operators if operator.macs]
        return sorted(paid, key=lambda operator: -operator.macs)

    def to_dict(self) -> dict[str, Any]:
        """Under stable keys."""
        return {
            "total": self.total,
            "per_patch_total": self.per_patch_exits[-1],
            "by_operator": self.by_operator,
            "by_module": self.by_module,
            "by_stage": list(self.by_stage),
            "uncounted": list(self.uncounted),
        }


def _summed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, macs in pairs:
        sums[name] += macs
    return {name: macs for name, macs in sums.most_common() if macs}


def _per_patch(graph: Graph, node: Node, macs: int) -> int:
    operator = node.operator
    if isinstance(operator, Composite) and isinstance(operator.module, ReX2d):
        return operator.module.macs(*graph.shapes[node.inputs[0]][1:]).per_patch
    return macs


def _uncounted(graph: Graph, node: Node) -> list[str]:
    operator = node.operator
    if isinstance(operator, Opaque) and operator.cost is None:
        return [f"{node.module} ({operator.target})"]
    if isinstance(operator, Composite):
        taken = [graph.shapes[name] for name in node.inputs]
        return operator.count(taken, node.module).uncounted
    return []
