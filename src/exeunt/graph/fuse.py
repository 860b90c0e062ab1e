"""Operators that are one when rows stream through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from exeunt.graph.graph import Graph, Node, StageGraph
from exeunt.graph.normed import take_norms
from exeunt.graph.operators import (
    Activated,
    Activation,
    Add,
    Affine,
    Constants,
    Conv,
    Operator,
    Shape,
)
from exeunt.graph.views import is_whole, segments_of

MAX_FILTER = 7
"""How high and wide a filter of channels apart may be; what is larger is one in groups."""

_MAX_STRIDE = 2


@dataclass(frozen=True)
class InvertedResidual(Operator):
    """Expand, filter depthwise, project, and perhaps add the input: one operator.

    Constants are those of the three convolutions, `expand.weight` and so on; `expand` may be None.

    Attributes:
        recompute: whether no expanded row is kept: each row of the output expands all that is under
            its windows, which takes less memory and more multiply-adds.
    """

    expand: Conv | None
    depthwise: Conv
    project: Conv
    residual: bool
    recompute: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        parts = (("expand", self.expand), ("depthwise", self.depthwise), ("project", self.project))
        settings = {name: part.settings for name, part in parts if part is not None}
        return {**settings, "residual": self.residual, "recompute": self.recompute}

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        x = inputs[0]
        for name, part in (
            ("expand", self.expand),
            ("depthwise", self.depthwise),
            ("project", self.project),
        ):
            if part is not None:
                x = part.run([x], part_constants(constants, name))
        if not self.residual:
            return x
        return inputs[0][..., self.beside : self.beside + x.shape[3]] + x

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        channels, height, width = inputs[0]
        hidden = self.depthwise.groups
        rows = height
        if self.recompute:
            windows = (self.window(row) for row in range(output[1]))
            rows = sum(min(end, height) - max(start, 0) for start, end in windows)
        total = 0 if self.expand is None else hidden * channels * rows * width
        kernel = self.depthwise.kernel[0] * self.depthwise.kernel[1]
        return total + (hidden * kernel + hidden * output[0]) * output[1] * output[2]

    def rows(self, height: int, out: int, row: int) -> range:
        """The rows that are expanded now, those before being kept expanded unless all are expanded
        again, and the one to be added.
        """
        reads = [self.depthwise.rows(height, out, at) for at in (row - 1, row)]
        if self.expand is None or self.recompute:
            return reads[1]
        first = min(reads[0].stop, height) if row else 0
        return range(min(first, row) if self.residual else first, max(reads[1].stop, first))

    @property
    def beside(self) -> int:
        """The column of the input that is added to the first of the output: not the first where a
        band of columns is made from a few more.
        """
        return self.depthwise.kernel[1] // 2 - self.depthwise.padding[1] if self.residual else 0

    def window(self, row: int) -> tuple[int, int]:
        """First row, and end, of what is filtered for one row of the output, padding included."""
        start = row * self.depthwise.stride[0] - self.depthwise.padding[0]
        return start, start + self.depthwise.kernel[0]


@dataclass(frozen=True)
class PreactivatedConv(Operator):
    """Scale and shift by channel, perhaps activate, then convolve: one operator.

    Every pixel is scaled when a kernel takes it in, so that no scaled map exists. What lies around
    the map is zero after that. Constants are those of both, `affine.scale`, `conv.weight` and so
    on.
    """

    affine: Affine
    conv: Conv

    @property
    def settings(self) -> dict[str, Any]:
        return {"affine": self.affine.settings, "conv": self.conv.settings}

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        scaled = self.affine.run(inputs, part_constants(constants, "affine"))
        return self.conv.run([scaled], part_constants(constants, "conv"))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return self.conv.macs(inputs, output)

    def rows(self, height: int, out: int, row: int) -> range:
        return self.conv.rows(height, out, row)


def fuse(graph: Graph) -> Graph:
    """The same graph with every inverted residual of one whole tensor as one node, every ReX with
    the scaling that alone reads it, every convolution and scaling with the function that alone
    reads it, and every dense convolution with the scaling before it that it alone reads.
    """
    graph = _with_functions(take_norms(graph))
    segments = segments_of(graph)
    whole = {name for name, parts in segments.items() if is_whole(parts, graph)}
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    for stage in graph.stages:
        readers.update((stage.logits, *stage.state))
    stages = [
        replace(stage, nodes=_preactivated(_residuals(stage, readers, whole), readers))
        for stage in graph.stages
    ]
    kept = {node.output for stage in stages for node in stage.nodes} | {graph.image}
    shapes = {name: shape for name, shape in graph.shapes.items() if name in kept}
    return Graph(graph.image, tuple(stages), shapes)


def _with_functions(graph: Graph) -> Graph:
    """The same graph, functions within the convolutions and scalings that they alone read."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    for stage in graph.stages:
        readers.update((stage.logits, *stage.state))
    stages = []
    for stage in graph.stages:
        found: dict[str, Node] = {}
        for node in stage.nodes:
            before = found.get(node.inputs[0])
            if before is not None and readers[before.output] == 1 and _ends_in(before, node):
                assert isinstance(before.operator, Activated)
                assert isinstance(node.operator, Activation)
                del found[before.output]
                operator = replace(before.operator, act=node.operator.act)
                node = replace(before, operator=operator, output=node.output)
            found[node.output] = node
        stages.append(replace(stage, nodes=tuple(found.values())))
    return Graph(graph.image, tuple(stages), graph.shapes)


def _ends_in(node: Node, then: Node) -> bool:
    plain = isinstance(node.operator, Conv | Affine) and node.operator.act is None
    return plain and isinstance(then.operator, Activation)


def _preactivated(nodes: Sequence[Node], readers: Counter[str]) -> tuple[Node, ...]:
    affines = {
        node.output: node
        for node in nodes
        if isinstance(node.operator, Affine) and readers[node.output] == 1
    }
    gone: set[str] = set()
    instead: dict[str, Node] = {}
    for node in nodes:
        affine, conv = affines.get(node.inputs[0]), node.operator
        if affine is not None and isinstance(conv, Conv) and conv.groups == 1:
            gone.add(affine.output)
            instead[node.output] = replace(
                node,
                operator=PreactivatedConv(affine.operator, conv),  # type: ignore[arg-type]
                inputs=affine.inputs,
                constants=_part_of("affine", affine) | _part_of("conv", node),
            )
    return tuple(instead.get(node.output, node) for node in nodes if node.output not in gone)


def _residuals(
    stage: StageGraph, readers: Counter[str], whole: Collection[str]
) -> tuple[Node, ...]:
    by_output = {node.output: node for node in stage.nodes}
    gone: set[str] = set()
    instead: dict[str, Node] = {}
    for expand, depthwise, project in _chains(stage, by_output, readers):
        if any(part is not None and part.output in gone for part in (expand, depthwise, project)):
            continue
        first = depthwise if expand is None else expand
        source = first.inputs[0]
        if source not in whole:
            continue
        total = _sum_of(project, source, stage.nodes, readers)
        last = project if total is None else total
        parts = {"depthwise": depthwise, "project": project}
        if expand is not None:
            parts["expand"] = expand
        constants = {k: t for n, part in parts.items() for k, t in _part_of(n, part).items()}
        operator = InvertedResidual(
            None if expand is None else expand.operator,  # type: ignore[arg-type]
            depthwise.operator,  # type: ignore[arg-type]
            project.operator,  # type: ignore[arg-type]
            total is not None,
        )
        gone |= {part.output for part in parts.values()} | {last.output}
        instead[last.output] = replace(
            last, operator=operator, inputs=(source,), module=last.block, constants=constants
        )
    return tuple(
        instead.get(node.output, node)
        for node in stage.nodes
        if node.output in instead or node.output not in gone
    )


def _chains(
    stage: StageGraph, by_output: dict[str, Node], readers: Counter[str]
) -> list[tuple[Node | None, Node, Node]]:
    """What could be fused, whole blocks first: the end of one may look like the next one's
    beginning.
    """
    found = [_chain(node, by_output, readers) for node in stage.nodes]
    chains = [chain for chain in found if chain is not None]
    expanding = [chain for chain in chains if chain[0] is not None]
    return [*expanding, *((None, depthwise, project) for _, depthwise, project in chains)]


def _chain(
    node: Node, by_output: dict[str, Node], readers: Counter[str]
) -> tuple[Node | None, Node, Node] | None:
    """Expansion, if there is one, depthwise filter and projection, if `node` is a projection."""
    if not _pointwise(node):
        return None
    depthwise = by_output.get(node.inputs[0])
    if depthwise is None or not _depthwise(depthwise) or readers[depthwise.output] != 1:
        return None
    expand = by_output.get(depthwise.inputs[0])
    if expand is None or not _pointwise(expand) or readers[expand.output] != 1:
        return None, depthwise, node
    return expand, depthwise, node


def _sum_of(
    project: Node, source: str, nodes: Sequence[Node], readers: Counter[str]
) -> Node | None:
    """The addition of a block's input to its projection, if that is all the projection is for."""
    if readers[project.output] != 1:
        return None
    for node in nodes:
        if project.output in node.inputs:
            plain = node.operator == Add()
            return node if plain and set(node.inputs) == {project.output, source} else None
    return None


def _pointwise(node: Node) -> bool:
    conv = node.operator
    if not isinstance(conv, Conv) or conv.groups != 1:
        return False
    return conv.kernel == (1, 1) == conv.stride and conv.padding == (0, 0)


def _depthwise(node: Node) -> bool:
    """One whose rows overlap or touch, with no row or column of padding alone."""
    conv = node.operator
    if not isinstance(conv, Conv) or not conv.groups == node.constants["weight"].shape[0] > 1:
        return False
    (height, width), (down, across) = conv.kernel, conv.stride
    square = height == width <= MAX_FILTER and down == across and conv.dilation == (1, 1)
    return square and down <= min(height, _MAX_STRIDE) and max(conv.padding) < height


def filters(conv: Any, channels: int, outputs: int) -> bool:
    """Whether a convolution of so many channels filters each by itself, and reads them where they
    lie. Other groups gather what they read.
    """
    apart: bool = conv.groups == channels == outputs > 1
    small: bool = conv.dilation == (1, 1) and max(conv.kernel) <= MAX_FILTER
    return apart and small


def _part_of(name: str, node: Node) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for key, tensor in node.constants.items()}


def part_constants(constants: Constants, name: str) -> dict[str, Tensor]:
    """Those of one of the fused operators, by the names that it knows them by."""
    return {k.partition(".")[2]: t for k, t in constants.items() if k.startswith(f"{name}.")}
