"""A plan, replayed: whoever reads must find what was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from exeunt.errors import ExeuntError
from exeunt.graph.buffers import VIEWS
from exeunt.graph.graph import Graph
from exeunt.graph.plan import Plan


def verify_plan(graph: Graph, plan: Plan, element_bytes: int) -> int:
    """Runs a graph's reads and writes over an arena that notes, byte by byte, whose it is.

    It knows nothing of lifetimes: a tensor that was overwritten too early is found when it is read.

    Args:
        graph: that was planned.
        plan: for it; tensors without a place, such as the image, are left out.
        element_bytes: of a number.

    Returns:
        The highest byte that was written, plus one.

    Raises:
        ExeuntError: naming the node, the tensor that it reads and the one that lies in its place.
    """
    offsets = plan.offset_of
    owner = np.full(plan.arena_bytes, -1, dtype=np.int32)
    numbers = {name: k for k, name in enumerate(offsets)}
    names = list(offsets)
    contents: dict[str, str] = {}
    reached = 0

    def place(name: str) -> slice:
        start = offsets[name]
        return slice(start, start + graph.elements(name) * element_bytes)

    def write(name: str) -> None:
        nonlocal reached
        if place(name).stop > plan.arena_bytes:
            raise ExeuntError(f"{name} ends at byte {place(name).stop} of {plan.arena_bytes}")
        owner[place(name)] = numbers[name]
        reached = max(reached, place(name).stop)
        contents[name] = name

    def read(reader: str, name: str) -> None:
        found = np.unique(owner[place(contents[name])])
        wrong = [names[k] if k >= 0 else "nothing" for k in found if k != numbers[contents[name]]]
        if wrong:
            raise ExeuntError(f"{reader} reads {name}, but {', '.join(wrong)} lies in its place")

    if graph.image in offsets:
        write(graph.image)
    for stage in graph.stages:
        for node in stage.nodes:
            placed = [name for name in node.inputs if name in offsets]
            for name in placed:
                read(node.output, name)
            if isinstance(node.operator, VIEWS) and placed:
                contents[node.output] = contents[placed[0]]
                continue
            if not node.operator.in_place:
                _refuse_overlap(node.output, placed, contents, place)
            write(node.output)
        read("the policy", stage.logits)
    return reached


def _refuse_overlap(
    output: str, read: Sequence[str], contents: Mapping[str, str], place: Callable[[str], slice]
) -> None:
    mine = place(output)
    for name in read:
        theirs = place(contents[name])
        if mine.start < theirs.stop and theirs.start < mine.stop:
            raise ExeuntError(f"{output} would be written over {name}, which it reads")
