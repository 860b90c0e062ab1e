"""What a folder holds and says differently for each type of number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from exeunt.data import Transform
from exeunt.export.c.kernel import Kernel
from exeunt.export.c.source import CSource
from exeunt.graph.graph import Graph, Node
from exeunt.graph.streamed import StreamedPlan


@dataclass(frozen=True)
class Expected:
    """Scores that the self-test asks for.

    Attributes:
        scores: of each exit, as C spells them.
        tolerance: by how much they may differ, likewise.
    """

    scores: Sequence[Sequence[str]]
    tolerance: str


class Numbers(ABC):
    """A net in one type of number: its weights, its policy, and the runtime's names for them.

    Attributes:
        dtype: the type's name.
        element_bytes: of a number in a tensor.
        header: of the runtime, which a model includes.
        files: of the runtime, needed besides those that all models need and those of kernels.
        beside: files that a kernel's own needs, by kernel.
        read_row: function that takes in a row of the image.
        judge: function that reads the scores of an exit.
        score_type: of one score in C.
        score_format: how `printf` shows it.
        score_shown_as: type that it is cast to for that.
    """

    dtype: ClassVar[str]
    element_bytes: ClassVar[int]
    header: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    beside: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    read_row: ClassVar[str]
    judge: ClassVar[str]
    score_type: ClassVar[str]
    score_format: ClassVar[str]
    score_shown_as: ClassVar[str]

    @abstractmethod
    def kernel(self, node: Node, plan: StreamedPlan, source: CSource, number: int) -> Kernel:
        """Writes what the kernel of node `number` of a plan needs; says how to call it.

        Raises:
            ExeuntError: for what no kernel does, naming the module.
        """

    @abstractmethod
    def input(self, transform: Transform, graph: Graph, source: CSource) -> str:
        """Defines what `read_row` needs; returns its name."""

    @abstractmethod
    def policy(self, exits: int, source: CSource) -> dict[str, str | int]:
        """Fields of `exn_policy`, for so many exits."""

    @abstractmethod
    def score_scales(self, graph: Graph) -> list[float]:
        """What one of each exit's scores is worth in logits."""

    @abstractmethod
    def expected(self, graph: Graph, image: Tensor) -> Expected:
        """What comes out for one image, (1, C, H, W) as the net takes it."""


def level_fields(levels: str, patience: int, certain: Any) -> dict[str, str | int]:
    """Fields of `exn_policy` for `levels`, and a function for those of entropy, if any."""
    fields: dict[str, str | int] = {"thresholds": levels, "patience": patience}
    return fields | {"certain": certain} if certain else fields


def within(
    patience: int, function: str, kind: str, fields: Mapping[str, str], source: CSource
) -> dict[str, str | int]:
    """Fields of `exn_policy` for values that agree, by `function` and a struct `kind`."""
    tolerance = source.struct(kind, "tolerance", dict(fields))
    return {
        "thresholds": "NULL",
        "patience": patience,
        "agrees": function,
        "tolerance": f"&{tolerance}",
    }


def thresholds(
    kind: str, element: str, fields: Mapping[str, Sequence[str] | None], source: CSource
) -> str:
    """Defines a struct `kind` of arrays of `element`, NULL for None; returns its address."""
    named = {
        name: "NULL" if values is None else source.array(element, name, values)
        for name, values in fields.items()
    }
    return f"&{source.struct(kind, 'thresholds', named)}"
