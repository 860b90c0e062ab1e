"""From ATen operators to plain ones."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from exeunt.errors import ExeuntError
from exeunt.graph.arrange import REARRANGING, Arrangement
from exeunt.graph.call import Call, shape_of
from exeunt.graph.capture import Captured
from exeunt.graph.graph import Node
from exeunt.graph.operators import GlobalAverage, GridPool, Opaque, Operator, Shape
from exeunt.graph.plain_calls import OPERATORS, REGISTERED, SAME, is_spread
from exeunt.ops.macs import macs_of
from exeunt.registry import import_plugins

aten = torch.ops.aten

_ELSEWHERE = (
    "docs/operators.md lists those that there are, and how to register another; ONNX takes a stage "
    "that has it as torch writes it"
)

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that are no blocks, for all that they hold some; subclasses of them are."""


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
        if node.target in SAME and SAME[node.target](call) and inputs[0].name in known:
            known[node.name] = known[inputs[0].name]
            return
        if self._rearranged(call) or self._averaged(call):
            return
        make = REGISTERED.get(node.target) or OPERATORS.get(node.target)
        made = None
        if make is not None and not any(a.name in moved for a in inputs):
            made = make(call)
        if made is None and self.opaque and inputs and all(map(_is_batch, [node, *inputs])):
            made = Opaque(str(node.target), _cost(node)), {}
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
            self._add(node, Opaque(str(node.target), 0), {}, [moved.source], shape_of(node))
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
        block, kind = _block(node, self.captured, self.path)
        module = _module(node, self.path)
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
        name, shape = made.source, made.shape
        lowered.names[node.name] = name
        for k, move in enumerate(moves):
            shape = tuple(move.run([torch.empty(1, *shape)], {}).shape[1:])
            name = self._add(node, move, {}, [name], shape, f".{k}" if k else "")
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

    def _refusal(self, node: fx.Node, inputs: Iterable[fx.Node]) -> ExeuntError:
        shapes = ", ".join("x".join(map(str, shape_of(i))) for i in inputs)
        return ExeuntError(
            f"{_module(node, self.path)}: no plain operator for {node.target} of "
            f"{shapes or 'nothing'} with {_settings(node)}; {_ELSEWHERE}"
        )


def _tensors(values: Any) -> Iterator[fx.Node]:
    for value in values:
        if isinstance(value, fx.Node):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _is_batch(node: fx.Node) -> bool:
    """Whether a node gives one tensor of one image, and not several, or a number."""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.dim() > 1 and value.shape[0] == 1


def _cost(node: fx.Node) -> int | None:
    """Multiply-adds of a call, counted on tensors that have shapes and no numbers."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda given: given.meta["val"])
    with torch.no_grad():
        return macs_of(node.target, *args, **kwargs)


def _settings(node: fx.Node) -> str:
    plain = [a for a in node.args if not isinstance(a, (fx.Node, list))]
    return f"{[*plain, *(a for a in node.args if isinstance(a, list))]} {node.kwargs or ''}".strip()


def _module(node: fx.Node, path: str) -> str:
    stack = [name for name, _ in node.meta.get("nn_module_stack", {}).values() if name]
    return f"{path}.{stack[-1]}" if stack else path


def _block(node: fx.Node, captured: Captured, path: str) -> tuple[str, str]:
    """The outermost module around a node that is no mere container, and its class."""
    stack = [name for name, _ in node.meta.get("nn_module_stack", {}).values() if name]
    for name in stack:
        kind = captured.classes[name]
        if name != "trunk" and kind not in CONTAINERS:
            return f"{path}.{name}", kind.__name__
    return path, "Stage"
