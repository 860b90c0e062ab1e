"""From ATen operators to plain ones."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx

from exeunt.errors import ExeuntError
from exeunt.graph.arrange import REARRANGING, Arrangement
from exeunt.graph.block import block_of, module_of
from exeunt.graph.call import Call, shape_of
from exeunt.graph.capture import Captured
from exeunt.graph.graph import Node
from exeunt.graph.moves import Concat, Move
from exeunt.graph.operators import (
    Activation,
    Add,
    Affine,
    GlobalAverage,
    GridPool,
    Opaque,
    Operator,
    Shape,
)
from exeunt.graph.plain_calls import OPERATORS, REGISTERED, SAME, conv_along, is_spread
from exeunt.ops.macs import macs_of
from exeunt.registry import import_plugins

aten = torch.ops.aten

_ELSEWHERE = (
    "docs/operators.md lists those that there are, and how to register another; ONNX takes a stage "
    "that has it as torch writes it"
)

_MOST_SUMMED = 16  # parts, an addition each


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


def lower(
    captured: Captured, taken: list[str], path: str, *, opaque: bool = False
) -> tuple[Lowered, list[str]]:
    """Lowers a captured stage.

    Args:
        captured: the stage.
        taken: names of the tensors of its state, as they come in.
        path: of the stage in the net.
        opaque: let an operator from tensors to one tensor that has no plain form stand as `Opaque`.

    Returns:
        Its nodes, and the names of what it returns: logits, then the state.

    Raises:
        ExeuntError: for an operator that has no plain form here, naming its module and shapes and
            what there is.
    """
    import_plugins()
    work = _Lowering(captured, path, opaque)
    arriving = iter(taken)
    returned: list[str] = []
    for node in captured.program.graph.nodes:
        if node.op == "placeholder":
            if captured.constant(node.name) is None:
                name = next(arriving)
                work.lowered.names[node.name], work.lowered.shapes[name] = name, shape_of(node)
        elif node.op == "call_function" and node.users:
            work.call(node)
        elif node.op == "output":
            returned = [work.name_of(out) for out in node.args[0]]
    return work.lowered, returned


@dataclass
class _Lowering:
    """What one stage becomes, call by call."""

    captured: Captured
    path: str
    opaque: bool
    lowered: Lowered = field(default_factory=Lowered)
    found: dict[str, Tensor] = field(default_factory=dict)

    def call(self, node: fx.Node) -> None:
        arguments = [*_tensors(node.args), *_tensors(node.kwargs.values())]
        stored = {i: self._constant(a) for i, a in enumerate(arguments)}
        if None not in stored.values() and self._computed(node):
            return
        if 0 in stored and stored[0] is not None and is_spread(node):
            self.found[node.name] = stored[0]
            return
        constants = {i: t.float() for i, t in stored.items() if t is not None}
        inputs = [a for i, a in enumerate(arguments) if i not in constants]
        call = Call(node, inputs, constants, self.captured)
        known, moved = self.lowered.names, self.lowered.moved
        if inputs and inputs[0].name in moved and self._reduced(call):
            return
        same = node.target in SAME and SAME[node.target](call)
        if same and (inputs[0].name in known or (is_spread(node) and self._is_named(inputs[0]))):
            known[node.name] = known[inputs[0].name]
            return
        if any(way(call) for way in (self._rearranged, self._averaged, self._stacked)):
            return
        if any(way(call) for way in (self._convolved, self._summed, self._applied)):
            return
        make = REGISTERED.get(node.target) or OPERATORS.get(node.target)
        made = None
        if make is not None and all(self._is_named(a) for a in inputs):
            made = make(call)
        if made is None and self.opaque and inputs and all(map(_is_tensor, [node, *inputs])):
            read = [self.name_of(i) for i in inputs]
            self._add(node, Opaque(str(node.target), _cost(node)), {}, read, _sizes(node))
            return
        if made is None:
            raise self._refusal(node, inputs)
        operator, weights = made
        self._add(node, operator, weights, [self.name_of(i) for i in inputs], shape_of(node))

    def _constant(self, node: fx.Node) -> Tensor | None:
        """What is stored, or computed of that alone."""
        known = self.captured.constant(node.name)
        return self.found.get(node.name) if known is None else known

    def _computed(self, node: fx.Node) -> bool:
        """Computes what hangs on nothing but what is stored; returns whether that could be done."""
        if getattr(node.target, "namespace", "") != "aten" or node.target._schema.is_mutable:  # type: ignore[union-attr]
            return False
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._constant)
        made = args[0] if is_spread(node) else node.target(*args, **kwargs)  # type: ignore[operator]
        if isinstance(made, Tensor):
            self.found[node.name] = made
        return isinstance(made, Tensor)

    def name_of(self, node: fx.Node) -> str:
        """The name of the tensor that an ATen node gives."""
        if node.name not in self.lowered.names:
            moved = self.lowered.moved[node.name]
            if not self.opaque or not isinstance(moved.index, Tensor):
                raise self._refusal(node, _tensors(node.args))
            self._add(node, Opaque(str(node.target), 0), {}, [moved.source], _sizes(node))
        return self.lowered.names[node.name]

    def _add(
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

    def _rearranged(self, call: Call) -> bool:
        """Follows what moves numbers, if that is what a call does; adds what moves them where that
        has a plain form, and leaves it open otherwise.
        """
        node, lowered = call.node, self.lowered
        picks = node.target is operator.getitem
        if len(call.inputs) != 1 or (node.target not in REARRANGING and not picks):
            return False
        (first,) = call.inputs
        before = lowered.moved.get(first.name)
        if before is None:
            if picks or first.name not in lowered.names:
                return False
            source = lowered.names[first.name]
            before = Arrangement.of(source, lowered.shapes[source])
        made = before.part(node.args[1]) if picks else before.after(node)  # type: ignore[arg-type]
        moves = made.plain()
        if moves is None:
            lowered.moved[node.name] = made
            return True
        lowered.names[node.name] = self._moved(node, moves, made.source, made.shape, "")
        return True

    def _reduced(self, call: Call) -> bool:
        """Adds the mean of whatever a channel has, if that is what a call takes of a map that was
        flattened first.
        """
        moved, node = self.lowered.moved[call.inputs[0].name], call.node
        if node.target is not aten.mean.dim or not moved.keeps_order or len(moved.shape) != 3:
            return False
        axes = {axis % (len(call.shape) + 1) for axis in call.argument(1, "dim", None) or ()}
        if call.shape[0] != moved.shape[0] or axes != {*range(2, len(call.shape) + 1)}:
            return False
        if call.argument(2, "keepdim", False):
            return False
        self._add(node, GlobalAverage(), {}, [moved.source], shape_of(node))
        return True

    def _averaged(self, call: Call) -> bool:
        """Adds the means of rows, or of columns, that are to be no rows or columns any more: as a
        map of one that is seen without it.
        """
        node, names = call.node, self.lowered.names
        if node.target is not aten.mean.dim or call.argument(2, "keepdim", False):
            return False
        axes = {axis % (len(call.shape) + 1) for axis in call.argument(1, "dim", None) or ()}
        if len(call.shape) != 3 or axes not in ({2}, {3}) or call.inputs[0].name not in names:
            return False
        channels, height, width = call.shape
        grid = (1, width) if axes == {2} else (height, 1)
        shape = (channels, *grid)
        name = self._add(node, GridPool("average", grid), {}, [names[call.inputs[0].name]], shape)
        del names[node.name]
        seen = Arrangement.of(name, shape)
        self.lowered.moved[node.name] = replace(seen, index=seen.index.view(1, *call.out))  # type: ignore[union-attr]
        return True

    def _stacked(self, call: Call) -> bool:
        """Joins the channels of tensors that are stacked along a new axis, and leaves their order
        open, if that is what a call does.
        """
        node = call.node
        shapes = {shape_of(i) for i in call.inputs}
        if node.target is not aten.stack.default or call.constants or len(shapes) != 1:
            return False
        (shape,) = shapes
        if len(shape) not in (1, 3) or not all(self._is_named(i) for i in call.inputs):
            return False
        count, read = len(call.inputs), [self.name_of(i) for i in call.inputs]
        axis = call.argument(1, "dim", 0) % (len(shape) + 2)
        name = read[0]
        if count > 1:
            joined = (count * shape[0], *shape[1:])
            name = self._add(node, Concat(), {}, read, joined)
            del self.lowered.names[node.name]
            shape = joined
        seen = Arrangement.of(name, shape)
        index = seen.index.view(1, count, -1, *shape[1:])  # type: ignore[union-attr]
        self.lowered.moved[node.name] = replace(seen, index=index.movedim(1, axis))
        return True

    def _convolved(self, call: Call) -> bool:
        """Adds a convolution along one axis, as one along the only row of a map, if that is what a
        call is.
        """
        node = call.node
        along = node.target in (aten.conv1d.default, aten.conv1d.padding)
        if not along or len(call.inputs) != 1 or call.inputs[0].name not in self.lowered.moved:
            return False
        before = self.lowered.moved[call.inputs[0].name]
        if not isinstance(before.index, Tensor):
            return False
        moves = replace(before, index=before.index.unsqueeze(2)).copied()
        if moves is None:
            return False
        conv, weights = conv_along(call)
        source = self._moved(node, moves, before.source, before.shape, ".row")
        channels, length = call.out
        name = self._add(node, conv, weights, [source], (channels, 1, length))
        del self.lowered.names[node.name]
        seen = Arrangement.of(name, (channels, 1, length))
        self.lowered.moved[node.name] = replace(seen, index=seen.index.view(1, *call.out))  # type: ignore[union-attr]
        return True

    def _summed(self, call: Call) -> bool:
        """Adds the sum, or the mean, of the few parts that a tensor has along an axis that maps do
        not have, if that is what a call takes.
        """
        node, means = call.node, call.node.target is aten.mean.dim
        if not means and node.target is not aten.sum.dim_IntList:
            return False
        moved = self.lowered.moved.get(call.inputs[0].name) if len(call.inputs) == 1 else None
        axes: list[int] = [*(call.argument(1, "dim", None) or ())]
        if moved is None or not isinstance(moved.index, Tensor) or len(axes) != 1:
            return False
        count = moved.index.shape[axes[0]]
        if not 1 <= count <= _MOST_SUMMED or call.argument(2, "keepdim", False):
            return False
        parts = [replace(moved, index=part) for part in moved.index.unbind(axes[0])]
        ways = [part.plain() for part in parts]
        if len(call.out) not in (1, 3) or any(moves is None for moves in ways):
            return False
        names = [
            self._moved(node, moves or [], moved.source, moved.shape, f".{k}")
            for k, moves in enumerate(ways)
        ]
        total = names[0]
        for k, name in enumerate(names[1:]):
            total = self._add(node, Add(), {}, [total, name], call.out, f".sum{k}")
        if means:
            scale = torch.full((call.out[0],), 1 / count)
            weights = {"scale": scale, "shift": 0 * scale}
            total = self._add(node, Affine(), weights, [total], call.out)
        self.lowered.names[node.name] = total
        return True

    def _applied(self, call: Call) -> bool:
        """Applies a function to the tensor that another is but another look at, if that is what a
        call does: the look at the outcome stays open.
        """
        node, make = call.node, OPERATORS.get(call.node.target)
        moved = self.lowered.moved.get(call.inputs[0].name) if len(call.inputs) == 1 else None
        if moved is None or make is None or not moved.keeps_order:
            return False
        made = None if call.constants else make(call)
        if made is None or not isinstance(made[0], Activation):
            return False
        name = self._add(node, made[0], {}, [moved.source], moved.shape)
        del self.lowered.names[node.name]
        self.lowered.moved[node.name] = replace(moved, source=name)
        return True

    def _is_named(self, node: fx.Node) -> bool:
        """Whether a tensor is there, or is now, since nothing but a copy in a shape of another kind
        was left open.
        """
        if node.name in self.lowered.names:
            return True
        moved = self.lowered.moved.get(node.name)
        moves = None if moved is None else moved.copied()
        if moved is None or moves is None:
            return False
        self.lowered.names[node.name] = self._moved(node, moves, moved.source, moved.shape, ".copy")
        return True

    def _moved(
        self, node: fx.Node, moves: Iterable[Move], name: str, shape: Shape, part: str
    ) -> str:
        """Adds operators that move a tensor, one after the other."""
        for k, move in enumerate(moves):
            shape = tuple(move.run([torch.empty(1, *shape)], {}).shape[1:])
            name = self._add(node, move, {}, [name], shape, f"{part}.{k}" if k or part else "")
        return name

    def _refusal(self, node: fx.Node, inputs: Iterable[fx.Node]) -> ExeuntError:
        shapes = ", ".join("x".join(map(str, shape_of(i))) for i in inputs)
        return ExeuntError(
            f"{module_of(node, self.path)}: no plain operator for {node.target} of "
            f"{shapes or 'nothing'} with {_settings(node)}; {_ELSEWHERE}"
        )


def _tensors(values: Any) -> Iterator[fx.Node]:
    for value in values:
        if isinstance(value, fx.Node):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _is_tensor(node: fx.Node) -> bool:
    """Whether a node gives one tensor of one image, and not several, or a number."""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.dim() > 1


def _sizes(node: fx.Node) -> Shape:
    """The shape of all numbers that a node gives for one image, which need not come first."""
    shape = tuple(int(n) for n in node.meta["val"].shape)
    return shape[1:] if shape[0] == 1 else shape


def _cost(node: fx.Node) -> int | None:
    """Multiply-adds of a call, counted on tensors that have shapes and no numbers."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda given: given.meta["val"])
    with torch.no_grad():
        return macs_of(node.target, *args, **kwargs)


def _settings(node: fx.Node) -> str:
    plain = [a for a in node.args if not isinstance(a, (fx.Node, list))]
    return f"{[*plain, *(a for a in node.args if isinstance(a, list))]} {node.kwargs or ''}".strip()
