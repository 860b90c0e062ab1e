"""Calls that become more, or less, than one operator of one tensor.

Each way adds nodes and returns True if it goes for a call, and changes nothing otherwise.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from exeunt.graph.arrange import REARRANGING, Arrangement
from exeunt.graph.call import Call, shape_of
from exeunt.graph.lowering import Lowering
from exeunt.graph.moves import Concat
from exeunt.graph.operators import Activation, Add, Affine, GlobalAverage, Multiply
from exeunt.graph.plain_calls import OPERATORS, POOLED, conv_along, over_axes

aten = torch.ops.aten

_MOST_SUMMED = 16  # parts, an addition each


def _rearranged(work: Lowering, call: Call) -> bool:
    """Follows what moves numbers, if that is what a call does; adds what moves them where that
    has a plain form, and leaves it open otherwise.
    """
    node, lowered = call.node, work.lowered
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
    if picks and isinstance(before.index, Tensor):  # of a call that gives more than one looks at
        if node.args[1] == 0:
            work.look(node, before)
        return bool(node.args[1] == 0)
    made = before.part(node.args[1]) if picks else before.after(node)  # type: ignore[arg-type]
    moves = made.plain()
    if moves is None:
        lowered.moved[node.name] = made
        return True
    lowered.names[node.name] = work.move(node, moves, made.source, made.shape, "")
    return True


def reduced(work: Lowering, call: Call) -> bool:
    """Adds the mean of whatever a channel has, if that is what a call takes of a map that was
    flattened first.
    """
    moved, node = work.lowered.moved[call.inputs[0].name], call.node
    if node.target is not aten.mean.dim or not moved.keeps_order or len(moved.shape) != 3:
        return False
    axes = {axis % (len(call.shape) + 1) for axis in call.argument(1, "dim", None) or ()}
    if call.shape[0] != moved.shape[0] or axes != {*range(2, len(call.shape) + 1)}:
        return False
    if call.argument(2, "keepdim", False):
        return False
    work.add(node, GlobalAverage(), {}, [moved.source], shape_of(node))
    return True


def _pooled(work: Lowering, call: Call) -> bool:
    """Adds the mean or the maximum of a map along axes that are to be no axes any more: as a map
    that is seen without them.
    """
    node, names = call.node, work.lowered.names
    of = POOLED.get(node.target)
    pool = None if of is None or call.argument(2, "keepdim", False) else over_axes(call, of)
    if pool is None or not work.is_named(call.inputs[0]):
        return False
    source = names[call.inputs[0].name]
    if isinstance(pool, GlobalAverage):
        work.add(node, GlobalAverage(), {}, [source], call.out)
        return True
    shape = tuple(pool.run([torch.empty(1, *call.shape)], {}).shape[1:])
    name = work.add(node, pool, {}, [source], shape)
    seen = Arrangement.of(name, shape)
    work.look(node, replace(seen, index=seen.index.view(1, *call.out)))  # type: ignore[union-attr]
    return True


def _stacked(work: Lowering, call: Call) -> bool:
    """Joins the channels of tensors that are stacked along a new axis, and leaves their order
    open, if that is what a call does.
    """
    node = call.node
    shapes = {shape_of(i) for i in call.inputs}
    if node.target is not aten.stack.default or call.constants or len(shapes) != 1:
        return False
    (shape,) = shapes
    if len(shape) not in (1, 3) or not all(work.is_named(i) for i in call.inputs):
        return False
    count, read = len(call.inputs), [work.name_of(i) for i in call.inputs]
    axis = call.argument(1, "dim", 0) % (len(shape) + 2)
    name = read[0]
    if count > 1:
        joined = (count * shape[0], *shape[1:])
        name = work.add(node, Concat(), {}, read, joined)
        del work.lowered.names[node.name]
        shape = joined
    seen = Arrangement.of(name, shape)
    index = seen.index.view(1, count, -1, *shape[1:])  # type: ignore[union-attr]
    work.lowered.moved[node.name] = replace(seen, index=index.movedim(1, axis))
    return True


def _convolved(work: Lowering, call: Call) -> bool:
    """Adds a convolution along one axis, as one along the only row of a map, if that is what a
    call is.
    """
    node = call.node
    along = node.target in (aten.conv1d.default, aten.conv1d.padding)
    if not along or len(call.inputs) != 1 or call.inputs[0].name not in work.lowered.moved:
        return False
    before = work.lowered.moved[call.inputs[0].name]
    if not isinstance(before.index, Tensor):
        return False
    moves = replace(before, index=before.index.unsqueeze(2)).copied()
    if moves is None:
        return False
    conv, weights = conv_along(call)
    source = work.move(node, moves, before.source, before.shape, ".row")
    channels, length = call.out
    name = work.add(node, conv, weights, [source], (channels, 1, length))
    del work.lowered.names[node.name]
    seen = Arrangement.of(name, (channels, 1, length))
    work.lowered.moved[node.name] = replace(seen, index=seen.index.view(1, *call.out))  # type: ignore[union-attr]
    return True


def _summed(work: Lowering, call: Call) -> bool:
    """Adds the sum, or the mean, of the few parts that a tensor has along an axis that maps do
    not have, if that is what a call takes.
    """
    node, means = call.node, call.node.target is aten.mean.dim
    if not means and node.target is not aten.sum.dim_IntList:
        return False
    moved = work.lowered.moved.get(call.inputs[0].name) if len(call.inputs) == 1 else None
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
        work.move(node, moves or [], moved.source, moved.shape, f".{k}")
        for k, moves in enumerate(ways)
    ]
    total = names[0]
    for k, name in enumerate(names[1:]):
        total = work.add(node, Add(), {}, [total, name], call.out, f".sum{k}")
    if means:
        scale = torch.full((call.out[0],), 1 / count)
        weights = {"scale": scale, "shift": 0 * scale}
        total = work.add(node, Affine(), weights, [total], call.out)
    work.lowered.names[node.name] = total
    return True


def _applied(work: Lowering, call: Call) -> bool:
    """Applies a function to the tensor that another is but another look at, if that is what a
    call does: the look at the outcome stays open.
    """
    node, make = call.node, OPERATORS.get(call.node.target)
    moved = work.lowered.moved.get(call.inputs[0].name) if len(call.inputs) == 1 else None
    if moved is None or make is None or not moved.keeps_order:
        return False
    made = None if call.constants else make(call)
    if made is None or not isinstance(made[0], Activation):
        return False
    name = work.add(node, made[0], {}, [moved.source], moved.shape)
    del work.lowered.names[node.name]
    work.lowered.moved[node.name] = replace(moved, source=name)
    return True


def _shared_out(work: Lowering, call: Call) -> bool:
    """Adds the softmax of two numbers each, as the sigmoid of how far each is above the other,
    if that is what a call is.
    """
    node, before = call.node, work.seen(call)
    if node.target is not aten.softmax.int or before is None:
        return False
    other = before.other_of_two(call.argument(1, "dim", -1))
    moves = None if other is None else other.plain()
    if moves is None:
        return False
    source, shape = before.source, before.shape
    found = work.move(node, moves, source, shape, ".other")
    apart = work.add(node, Add(alpha=-1.0), {}, [source, found], shape, ".apart")
    name = work.add(node, Activation("sigmoid"), {}, [apart], shape)
    work.look(node, replace(before, source=name))
    return True


def _gated(work: Lowering, call: Call) -> bool:
    """Multiplies a map, of which a call has but another look, by numbers for its channels, rows
    or columns, if that is what a call does: the look at the outcome stays open.
    """
    node = call.node
    if node.target is not aten.mul.Tensor or len(call.inputs) != 2 or len(call.out) <= 3:
        return False
    sides = [work.lowered.moved.get(side.name) for side in call.inputs]
    for whole, gate in (sides, sides[::-1]):
        spread = None if whole is None or gate is None else whole.gate(gate)
        moves = None if spread is None else spread.plain()
        if whole is None or gate is None or moves is None:
            continue
        found = work.move(node, moves, gate.source, gate.shape, ".gate")
        name = work.add(node, Multiply(), {}, [whole.source, found], whole.shape)
        work.look(node, replace(whole, source=name))
        return True
    return False


WAYS: tuple[Callable[[Lowering, Call], bool], ...] = (
    _rearranged,
    _pooled,
    _stacked,
    _convolved,
    _summed,
    _applied,
    _shared_out,
    _gated,
)
"""In the order in which they are tried."""
