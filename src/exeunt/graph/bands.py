"""Bands of columns: maps of a chain are made band by band, so that less of them is there at once.

Where rows are made for each window anew, a whole row of each map of the chain would be there while
one of the last is made. Of a band of its columns no more is needed than what lies under it: a few
columns more on either side, which neighbouring bands make twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from exeunt.graph.boundary import MADE
from exeunt.graph.fuse import InvertedResidual
from exeunt.graph.graph import Graph, Node
from exeunt.graph.moves import Beside, Columns
from exeunt.graph.operators import Conv

Span = tuple[int, int]
"""First column, and end."""


def chains(graph: Graph) -> Iterator[tuple[Node, ...]]:
    """The longest runs of convolutions and inverted residuals of one stage of which each alone
    reads the one before.
    """
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    held = {name for stage in graph.stages for name in (*stage.state, stage.logits)}
    for stage in graph.stages:
        run: list[Node] = []
        for node in stage.nodes:
            fits = may_be_banded(graph, node)
            if run and fits and node.inputs == (run[-1].output,):
                run.append(node)
            else:
                if run:
                    yield tuple(run)
                run = [node] if fits else []
            if run and (len(readers.get(node.output, ())) != 1 or node.output in held):
                yield tuple(run)
                run = []
        if run:
            yield tuple(run)


def may_be_banded(graph: Graph, node: Node) -> bool:
    """Whether a node is one that can make some of its columns."""
    operator = node.operator
    if isinstance(operator, InvertedResidual):
        return True
    taken, given = (graph.shapes[name] for name in (node.inputs[0], node.output))
    if type(operator) is not Conv or operator.dilation != (1, 1):
        return False
    return len(taken) == len(given) == 3 and operator.groups in (1, taken[0])


def with_bands(graph: Graph, chain: Sequence[Node], count: int) -> Graph:
    """The same fused graph, in which a chain makes so many bands of its last map, one after the
    other, and puts them beside each other.

    Args:
        graph: of a whole net.
        chain: nodes, each of which alone reads the one before, as in one of `chains`.
        count: of bands, 2 or more; at most as many as the last map has columns.
    """
    source, last = chain[0].inputs[0], chain[-1].output
    width = graph.shapes[last][2]
    edges = [band * width // count for band in range(count + 1)]
    shapes, nodes = dict(graph.shapes), list[Node]()
    for band, span in enumerate(pairwise(edges)):
        made, reads = _band(graph, chain, span)
        names = {node.output: f"{node.output}{MADE}{band}" for node in chain}
        view = f"{source}{MADE}{names[last]}"
        names[source] = view
        nodes.append(replace(chain[0], operator=Columns(*reads[0]), inputs=(source,), output=view))
        nodes[-1] = replace(nodes[-1], constants={})
        shapes[view] = (*shapes[source][:2], reads[0][1] - reads[0][0])
        for node, operator, (start, end) in zip(chain, made, reads[1:], strict=True):
            name = names[node.output]
            nodes.append(
                replace(node, operator=operator, inputs=(names[node.inputs[0]],), output=name)
            )
            shapes[name] = (*shapes[node.output][:2], end - start)
    once = sum(_once_macs(graph, node) for node in chain)
    parts = tuple(f"{last}{MADE}{band}" for band in range(count))
    nodes.append(replace(chain[-1], operator=Beside(once), inputs=parts, constants={}))
    gone = {node.output for node in chain}
    stages = []
    for stage in graph.stages:
        kept = list[Node]()
        for node in stage.nodes:
            if node is chain[-1]:
                kept += nodes
            elif node.output not in gone:
                kept.append(node)
        stages.append(replace(stage, nodes=tuple(kept)))
    inner = gone - {last}
    shapes = {name: shape for name, shape in shapes.items() if name not in inner}
    return replace(graph, stages=tuple(stages), shapes=shapes)


def _once_macs(graph: Graph, node: Node) -> int:
    """What a node takes that makes everything once."""
    operator = node.operator
    if isinstance(operator, InvertedResidual):
        operator = replace(operator, recompute=False)
    return operator.macs([graph.shapes[name] for name in node.inputs], graph.shapes[node.output])


def _band(
    graph: Graph, chain: Sequence[Node], span: Span
) -> tuple[list[Conv | InvertedResidual], list[Span]]:
    """What makes these columns of the last map; and the columns of the first input, and of all
    maps, that this reads or makes.
    """
    spans, made = [span], list[Conv | InvertedResidual]()
    for node in reversed(chain):
        operator = node.operator
        assert isinstance(operator, Conv | InvertedResidual)
        window = operator.depthwise if isinstance(operator, InvertedResidual) else operator
        width = graph.shapes[node.inputs[0]][2]
        begin = spans[0][0] * window.stride[1] - window.padding[1]
        end = (spans[0][1] - 1) * window.stride[1] - window.padding[1] + window.kernel[1]
        first, stop = max(begin, 0), min(end, width)
        bottom = window.padding[0] if window.trail is None else window.trail[0]
        banded = replace(
            window, padding=(window.padding[0], first - begin), trail=(bottom, end - stop)
        )
        made.insert(
            0,
            replace(operator, depthwise=banded)
            if isinstance(operator, InvertedResidual)
            else banded,
        )
        spans.insert(0, (first, stop))
    return made, spans
