"""A network that was followed, cut into pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, fx, nn

from exeunt.backbone.follow import Followed, told, version_of
from exeunt.chain import nest
from exeunt.errors import ExeuntError


def cut(followed: Followed, ends: Sequence[fx.Node]) -> tuple[list[nn.Module], nn.Module]:
    """The pieces of a network up to each of some tensors, and what comes after the last of them.

    What a later piece reads is handed on, and the tensor that a piece ends with comes last. A piece
    that would write into what it is given works on a copy.

    Args:
        followed: the network.
        ends: nodes in order, each of which gives a map; after the last, nothing else is read.

    Returns:
        For every end a module from the tensors handed to it to those it hands on, and one from the
        last end to the network's output.

    Raises:
        ExeuntError: when something else than tensors of a batch crosses a cut, or a module with
            weights runs in two pieces.
    """
    places = [followed.places[end] for end in ends]
    handed = [
        [*_others(followed, end, place), end] for end, place in zip(ends, places, strict=True)
    ]
    for end, tensors in zip(ends, handed, strict=True):
        _refuse_no_batch(followed, end, tensors)
    taken = [[followed.image], *handed[:-1]]
    starts = [0, *(place + 1 for place in places)]
    spans = [followed.nodes[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    _refuse_twice(followed, spans)
    pieces: list[nn.Module] = []
    state: tuple[Tensor, ...] = (followed.images,)
    for span, arriving, leaving in zip(spans, taken, handed, strict=False):
        piece = _chain(followed, span, arriving, leaving) or _piece(
            followed, span, arriving, leaving
        )
        before = [version_of(tensor) for tensor in state]
        moved = piece.eval()(*state)
        if before != [version_of(tensor) for tensor in state]:
            piece = _piece(followed, span, arriving, leaving, copied=True)
        pieces.append(piece)
        state = moved if isinstance(moved, tuple) else (moved,)
    rest = _piece(followed, spans[-1], [ends[-1]], [*followed.output.all_input_nodes])
    return pieces, rest


def _others(followed: Followed, end: fx.Node, place: int) -> list[fx.Node]:
    return [node for node in followed.crossing(place) if node is not end]


def _refuse_no_batch(followed: Followed, end: fx.Node, tensors: Sequence[fx.Node]) -> None:
    for node in tensors:
        value = followed.values[node]
        if not (isinstance(value, Tensor) and value.shape[:1] == followed.images.shape[:1]):
            raise ExeuntError(
                f"attach_exits: behind {name_of(end)!r} the backbone ({followed.kind}) still needs "
                f"{name_of(node)!r}, {told(value)}; what stages hand on are tensors of a batch. "
                "Put the exit elsewhere"
            )


def _refuse_twice(followed: Followed, spans: Sequence[Sequence[fx.Node]]) -> None:
    """Refuses weights that two pieces would have to hold."""
    used = Counter[str]()
    for span in spans:
        stored = [n for node in span for n in node.all_input_nodes if n.op == "get_attr"]
        called = [node for node in span if node.op == "call_module"]
        used.update({str(node.target) for node in (*stored, *called)})
    for path, count in used.items():
        part = followed.parts[path]
        weights = isinstance(part, Tensor) or any(True for _ in part.state_dict())
        if count > 1 and weights:
            raise ExeuntError(
                f"attach_exits: {path!r} of the backbone ({followed.kind}) runs in {count} stages, "
                "and its weights can be stored in one; put no exit between"
            )


def _chain(
    followed: Followed,
    span: Sequence[fx.Node],
    arriving: Sequence[fx.Node],
    leaving: Sequence[fx.Node],
) -> nn.Sequential | None:
    """The piece as modules that run one after the other, where it is no more than that."""
    if len(arriving) != 1 or len(leaving) != 1 or not span:
        return None
    before = arriving[0]
    for node in span:
        if node.op != "call_module" or node.args != (before,) or node.kwargs:
            return None
        before = node
    paths = [str(node.target) for node in span]
    heads = [head for head, _ in groupby(path.partition(".")[0] for path in paths)]
    if before is not leaving[0] or len({*paths}) < len(paths) or len({*heads}) < len(heads):
        return None
    return nest([(path, followed.parts[path]) for path in paths])


def _piece(
    followed: Followed,
    span: Sequence[fx.Node],
    arriving: Sequence[fx.Node],
    leaving: Sequence[fx.Node],
    copied: bool = False,
) -> fx.GraphModule:
    graph = fx.Graph()
    ours: dict[fx.Node, fx.Node] = {}
    for i, node in enumerate(arriving):
        ours[node] = graph.placeholder(f"state_{i}")
    if copied:
        for node in arriving:
            ours[node] = graph.call_method("clone", (ours[node],))
    for node in span:
        for stored in node.all_input_nodes:
            if stored.op == "get_attr" and stored not in ours:
                ours[stored] = graph.node_copy(stored)
        ours[node] = graph.node_copy(node, lambda source: ours[source])
    out = tuple(ours[node] for node in leaving)
    graph.output(out[0] if len(out) == 1 else out)
    return followed.module(graph)


def name_of(node: fx.Node) -> str:
    """What a tensor is called: the module that makes it, or the function."""
    return str(node.target) if node.op == "call_module" else node.name


def largest_gap(a: Tensor, b: Tensor) -> float:
    """The largest difference of two tensors, as a share of the largest number; infinite where
    shapes differ.
    """
    if a.shape != b.shape:
        return float("inf")
    if a.is_meta or b.is_meta:
        return 0.0
    reach = torch.maximum(a.abs().max(), b.abs().max()).clamp(min=1)
    return float((a - b).abs().max() / reach)
