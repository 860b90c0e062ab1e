"""A stage that is being lowered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

from exeunt.errors import ExeuntError
from exeunt.graph.arrange import Arrangement
from exeunt.graph.block import block_of, module_of
from exeunt.graph.call import Call, settings_of, shape_of, sizes_of, tensors_of
from exeunt.graph.capture import Captured
from exeunt.graph.graph import Node
from exeunt.graph.moves import Move
from exeunt.graph.operators import Opaque, Operator, Shape

_ELSEWHERE = (
    "docs/operators.md lists those that there are, and how to register another; ONNX takes a stage "
    "that has it as torch writes it"
)


@dataclass
class Lowered:
    """The nodes of a stage as they come out, before anything is folded.

    Attributes:
        nodes: in order.
        shapes: of their outputs, and of what comes in.
        names: of tensors, by the name of the ATen node that gives them.
        moved: what is so far but some of a tensor's numbers, moved, likewise.
    """

    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    moved: dict[str, Arrangement] = field(default_factory=dict)


@dataclass
class Lowering:
    """What one stage becomes, call by call.

    Attributes:
        captured: the stage.
        path: of it in the net.
        opaque: let what has no plain form stand.
        lowered: what there is of it.
        found: what ATen nodes give that hangs on nothing but what is stored.
    """

    captured: Captured
    path: str
    opaque: bool
    lowered: Lowered = field(default_factory=Lowered)
    found: dict[str, Tensor] = field(default_factory=dict)

    def name_of(self, node: fx.Node) -> str:
        """The name of the tensor that an ATen node gives."""
        if node.name not in self.lowered.names:
            moved = self.lowered.moved[node.name]
            if not self.opaque or not isinstance(moved.index, Tensor):
                raise self.refusal(node, tensors_of(node.args))
            self.add(node, Opaque(str(node.target), 0), {}, [moved.source], sizes_of(node))
        return self.lowered.names[node.name]

    def add(
        self,
        node: fx.Node,
        operator: Operator,
        weights: dict[str, Tensor],
        read: Iterable[str],
        shape: Shape,
        part: str = "",
    ) -> str:
        """Appends a node, which gives what `node` gives, or some `part` on the way to that."""
        name = f"{self.path}.{node.name}{part}"
        block, kind = block_of(node, self.captured, self.path)
        module = module_of(node, self.path)
        self.lowered.nodes.append(Node(operator, tuple(read), name, module, block, kind, weights))
        self.lowered.shapes[name] = shape
        self.lowered.names[node.name] = name
        return name

    def move(self, node: fx.Node, moves: Iterable[Move], name: str, shape: Shape, part: str) -> str:
        """Adds operators that move a tensor, one after the other."""
        for k, move in enumerate(moves):
            shape = tuple(move.run([torch.empty(1, *shape)], {}).shape[1:])
            name = self.add(node, move, {}, [name], shape, f"{part}.{k}" if k or part else "")
        return name

    def is_named(self, node: fx.Node) -> bool:
        """Whether a tensor is there, or is now, since nothing but a copy in a shape of another kind
        was left open.
        """
        if node.name in self.lowered.names:
            return True
        moved = self.lowered.moved.get(node.name)
        moves = None if moved is None else moved.copied()
        if moved is None or moves is None:
            return False
        self.lowered.names[node.name] = self.move(node, moves, moved.source, moved.shape, ".copy")
        return True

    def seen(self, call: Call) -> Arrangement | None:
        """The only tensor that a call reads, as what it may be but another look at."""
        if len(call.inputs) != 1 or call.constants:
            return None
        name = call.inputs[0].name
        if name in self.lowered.names:
            return Arrangement.of(self.lowered.names[name], call.shape)
        return self.lowered.moved.get(name)

    def look(self, node: fx.Node, made: Arrangement) -> None:
        """Takes what a node gives as a look at a tensor, or as that itself."""
        if made.plain() == []:
            self.lowered.names[node.name] = made.source
        else:
            self.lowered.names.pop(node.name, None)
            self.lowered.moved[node.name] = made

    def refusal(self, node: fx.Node, inputs: Iterable[fx.Node]) -> ExeuntError:
        shapes = ", ".join("x".join(map(str, shape_of(i))) for i in inputs)
        return ExeuntError(
            f"{module_of(node, self.path)}: no plain operator for {node.target} of "
            f"{shapes or 'nothing'} with {settings_of(node)}; {_ELSEWHERE}"
        )
