"""Where stages end, moved: an exit leaves less behind, for more work.

What a later stage reads lies whole while a policy decides. It may be made smaller in two ways.
*Later*: operators of the next stage run before the exit answers, as far as maps have become small;
images that leave there pay for them. *Again*: something smaller is held, the image say, and the
next stage makes anew what it reads; images that go on pay for that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from exeunt.graph.graph import Graph, Node, StageGraph

MADE = "~"
"""In the name of a tensor that is made again, or in part: behind it the rest says how."""

AGAIN = f"{MADE}again"
"""Behind the name of a tensor that is made again."""


def original(node: Node) -> Node:
    """A node by the names that it has where nothing is made again, or in part."""
    first = [name.partition(MADE)[0] for name in (node.output, *node.inputs)]
    return replace(node, output=first[0], inputs=tuple(first[1:]))


def handed_on(graph: Graph, boundary: int) -> tuple[str, ...]:
    """Tensors that are there when a stage ends, and are read later, in the order of their making.

    Args:
        graph: of a whole net.
        boundary: number of the stage that ends, from 0.
    """
    made = [graph.image, *(n.output for stage in graph.stages[: boundary + 1] for n in stage.nodes)]
    later = graph.stages[boundary + 1 :]
    read = {name for stage in later for node in stage.nodes for name in node.inputs}
    return tuple(name for name in made if name in read)


def later(graph: Graph, boundary: int, count: int) -> Graph:
    """The same fused graph, in which so many operators of the next stage run before an exit
    answers: the first of those that do not belong to the next exit alone.

    Args:
        graph: of a whole net.
        boundary: number of the exit, from 0; not the last.
        count: how many, at most as many as `movable` gives.
    """
    moved = movable(graph, boundary)[:count]
    names = {node.output for node in moved}
    stage, following = graph.stages[boundary : boundary + 2]
    own = _own(graph, boundary)
    nodes = (*(n for n in stage.nodes if n.output not in own), *moved)
    nodes += tuple(n for n in stage.nodes if n.output in own)
    stages = [*graph.stages]
    stages[boundary] = replace(stage, nodes=nodes)
    stages[boundary + 1] = replace(
        following, nodes=tuple(n for n in following.nodes if n.output not in names)
    )
    return _with_stages(graph, stages)


def movable(graph: Graph, boundary: int) -> tuple[Node, ...]:
    """Nodes of the stage behind a boundary that may run before it: all but those that lead to its
    exit alone; of the last stage all but the one that gives the logits.
    """
    following = graph.stages[boundary + 1]
    own = _own(graph, boundary + 1)
    if boundary + 2 == len(graph.stages):
        own = {following.logits}
    return tuple(node for node in following.nodes if node.output not in own)


def again(graph: Graph, boundary: int, source: str) -> Graph:
    """The same fused graph, in which the stage behind a boundary makes anew what it and later ones
    read, from one tensor that is held in place of all that is made of it.

    Args:
        graph: of a whole net.
        boundary: number of the exit, from 0; not the last.
        source: one of `sources`.
    """
    nodes = _between(graph, boundary, source)
    assert nodes is not None
    names = {node.output: node.output + AGAIN for node in nodes}
    copies = tuple(_renamed(replace(n, output=names[n.output]), names) for n in nodes)
    stages = [*graph.stages[: boundary + 1]]
    for k, stage in enumerate(graph.stages[boundary + 1 :]):
        mine = tuple(_renamed(node, names) for node in stage.nodes)
        stages.append(replace(stage, nodes=copies + mine if k == 0 else mine))
    shapes = dict(graph.shapes) | {new: graph.shapes[old] for old, new in names.items()}
    return _with_stages(replace(graph, shapes=shapes), stages)


def sources(graph: Graph, boundary: int) -> Iterator[str]:
    """Tensors from any one of which all can be made again that is handed on at a boundary, and that
    take less.
    """
    held = handed_on(graph, boundary)
    total = sum(graph.elements(name) for name in held)
    made = [graph.image, *(n.output for stage in graph.stages[: boundary + 1] for n in stage.nodes)]
    for name in made:
        if graph.elements(name) < total and name not in held:
            nodes = _between(graph, boundary, name)
            if nodes:
                yield name


def _between(graph: Graph, boundary: int, source: str) -> tuple[Node, ...] | None:
    """What must run again to make from a tensor all that is handed on; None where that takes
    others, too.
    """
    makers = {n.output: n for stage in graph.stages[: boundary + 1] for n in stage.nodes}
    needed: set[str] = set()
    asked = [*handed_on(graph, boundary)]
    while asked:
        name = asked.pop()
        if name == source or name in needed:
            continue
        if name not in makers:
            return None
        needed.add(name)
        asked += makers[name].inputs
    return tuple(node for name, node in makers.items() if name in needed)


def _own(graph: Graph, number: int) -> set[str]:
    """What a stage makes for its own exit alone."""
    read = {n for stage in graph.stages[number + 1 :] for node in stage.nodes for n in node.inputs}
    own: set[str] = set()
    for node in reversed(graph.stages[number].nodes):
        if node.output in read:
            read.update(node.inputs)
        else:
            own.add(node.output)
    return own


def _renamed(node: Node, names: dict[str, str]) -> Node:
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))


def _with_stages(graph: Graph, stages: Sequence[StageGraph]) -> Graph:
    """The graph with these stages, each handing on what is read later."""
    found = Graph(graph.image, tuple(stages), graph.shapes)
    kept = [
        replace(stage, state=handed_on(found, k)) if k + 1 < len(stages) else stage
        for k, stage in enumerate(stages)
    ]
    return replace(found, stages=tuple(kept))


def remade(graph: Graph) -> Collection[Node]:
    """Nodes that run again."""
    return [node for node in graph.nodes if node.output.endswith(AGAIN)]
