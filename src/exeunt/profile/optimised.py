"""Memory as the papers count it, and memory bought with multiply-adds.

`paper` is the rule of `exeunt.graph.paper`. `memory-optimised` is what the ReX paper's Table 2, and
Table 2 of RNNPool's (Saha et al., NeurIPS 2020), print beside it. They name Gural and Murmann (ICML
2019) and say no more than that much is computed again; this reading gives RNNPool's figures for
MobileNetV2 (0.38 MiB, 1.00 G) and DenseNet-121 (1.53 MiB, 24.41 G):

* the trunk is cut behind a block; of what lies before the cut no map is kept;
* every pixel of the maps at the cut is computed by itself, from its whole receptive field, so that
  what two pixels share is computed twice. All pixels cost what one in the middle costs; ReX costs
  what it costs patch by patch;
* behind the cut the rule of `paper` holds.

Neither rule can be executed as it stands: what lies inside a block, or under a pixel, is not
counted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from exeunt.graph import Composite, Graph, Node
from exeunt.graph.operators import Conv, Pair, Pool, Slice
from exeunt.graph.paper import INPUT_AND_OUTPUT, BlockPeak, block_peaks, feeds_rex, made_on_the_fly
from exeunt.ops.rex import ReX2d
from exeunt.profile.memory import Cut, Memory, Span, bytes_of


def paper_memory(graph: Graph, dtype: str) -> Memory:
    """Block by block, whatever lies inside a block; a step is a block of a trunk.

    Args:
        graph: of a whole net.
        dtype: of all tensors; the papers' is float32.
    """
    return _by_blocks("paper", dtype, graph, list(block_peaks(graph, bytes_of(dtype))))


def optimised_memory(graph: Graph, dtype: str) -> Memory:
    """The cut with the smallest peak; of several, the one that costs least.

    Args:
        graph: of a whole net.
        dtype: of all tensors; the papers' is float32.
    """
    size = bytes_of(dtype)
    blocks = list(block_peaks(graph, size))
    found = cuts(graph, size)
    best = min(found, key=lambda cut: (cut.size_bytes, cut.macs))
    behind = next((i + 1 for i, peak in enumerate(blocks) if peak.block == best.block), 0)
    held = tuple(_held(graph, best.block))
    size_bytes = sum(map(graph.elements, held)) * size
    at_cut = [BlockPeak(best.block, 0, held, size_bytes)] if best.block else []
    return _by_blocks(
        "memory-optimised",
        dtype,
        graph,
        at_cut + blocks[behind:],
        macs=best.macs,
        recompute_free_bytes=recompute_free_bytes(graph, size),
        cuts=tuple(found),
    )


def _by_blocks(
    convention: str, dtype: str, graph: Graph, blocks: Sequence[BlockPeak], **more: object
) -> Memory:
    spans = []
    for step, peak in enumerate(blocks):
        offset = 0
        for name in peak.counted:
            size = graph.elements(name) * bytes_of(dtype)
            spans.append(Span(name, step, step, offset, size))
            offset += size
    stages = range(len(graph.stages))
    return Memory(
        convention,
        dtype,
        max(peak.size_bytes for peak in blocks),
        tuple(max(p.size_bytes for p in blocks if p.stage <= k) for k in stages),
        tuple(peak.block for peak in blocks),
        tuple(max(i for i, p in enumerate(blocks) if p.stage <= k) for k in stages),
        tuple(spans),
        **more,  # type: ignore[arg-type]
    )


def cuts(graph: Graph, element_bytes: int) -> list[Cut]:
    """Every way to cut before the first exit: behind no block, and behind each in turn.

    A network with ReX must be cut, since the rule lets what feeds it be made on the fly; unless
    ReX reads what the first exit reads, or later maps.

    Args:
        graph: of a whole net.
        element_bytes: of a number.
    """
    sizes = {peak.block: peak.size_bytes for peak in block_peaks(graph, element_bytes)}
    names, every = list(sizes), list(graph.nodes)
    nodes = graph.stages[0].nodes
    on_the_fly = made_on_the_fly(graph)
    found = []
    for block in dict.fromkeys(node.block for node in nodes if node.block in sizes):
        held = list(_held(graph, block))
        if not held or on_the_fly & set(held):
            continue
        end = max(i for i, node in enumerate(nodes) if node.block == block) + 1
        macs = sum(graph.macs[node.output] for node in every[end:])
        for i, name in enumerate(held):
            pixels = math.prod(_extent(graph, name))
            macs += pixels * pixel_macs(graph, nodes[:end], name, held[:i])
        behind = [sizes[name] for name in names[names.index(block) + 1 :]]
        at_cut = sum(map(graph.elements, held)) * element_bytes
        found.append(Cut(block, max([at_cut, *behind]), macs))
    if found and feeds_rex(graph):
        return found
    return [Cut("", max(sizes.values()), sum(graph.macs.values())), *found]


def _held(graph: Graph, block: str) -> Iterator[str]:
    """Names of the tensors that exist behind a block of the first stage and are read later."""
    nodes = list(graph.nodes)
    end = max((i for i, node in enumerate(nodes) if node.block == block), default=-1) + 1
    read = {name for node in nodes[end:] for name in node.inputs}
    return (node.output for node in nodes[:end] if node.output in read)


def pixel_macs(graph: Graph, nodes: Sequence[Node], name: str, known: Collection[str]) -> int:
    """Multiply-adds of one pixel of a map, in the middle, from its whole receptive field.

    Args:
        graph: of a whole net.
        nodes: that lead to it, in order.
        name: of the map.
        known: maps that need not be computed.
    """
    windows: dict[str, Pair] = {name: (1, 1)}
    total = 0
    for node in reversed(nodes):
        if node.output not in windows or node.output in known:
            continue
        window = windows[node.output]
        pixels = math.prod(_extent(graph, node.output))
        total += _macs_alone(graph, node) * math.prod(window) // pixels
        for source in node.inputs:
            wider = _reads(node, window, _extent(graph, source))
            seen = windows.get(source, (0, 0))
            windows[source] = (max(wider[0], seen[0]), max(wider[1], seen[1]))
    return total


def _extent(graph: Graph, name: str) -> Pair:
    """Height and width of a map; (1, 1) of anything else."""
    shape = graph.shapes[name]
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def _macs_alone(graph: Graph, node: Node) -> int:
    """Multiply-adds of a node that shares nothing between pixels."""
    operator = node.operator
    if isinstance(operator, Composite) and isinstance(operator.module, ReX2d):
        height, width = graph.shapes[node.inputs[0]][1:]
        return operator.module.macs(height, width).per_patch
    return graph.macs[node.output]


def _reads(node: Node, window: Pair, size: Pair) -> Pair:
    """Height and width of what a window of the output is computed from; at most the whole map."""
    operator = node.operator
    stride = dilation = (1, 1)
    if isinstance(operator, Conv):
        kernel, stride, dilation = operator.kernel, operator.stride, operator.dilation
    elif isinstance(operator, Pool):
        kernel, stride = operator.kernel, operator.stride
    elif isinstance(operator, Composite) and isinstance(operator.module, ReX2d):
        kernel, stride = operator.module.patch_size, operator.module.stride
    elif operator.by_pixel or (isinstance(operator, Slice) and operator.axis == 0):
        kernel = (1, 1)
    else:
        return size
    height, width = (
        min((window[i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1, size[i])
        for i in range(2)
    )
    return height, width


def recompute_free_bytes(graph: Graph, element_bytes: int) -> int | None:
    """The least that a network of inverted residuals takes block by block if nothing is computed
    twice (Saha et al. 2020, appendix E).

    A block of stride s on (c, h, w) with t * c expanded and (c', h', w') projected channels:
    `max(h w c + (3 - s) w' c', h' w' c' + (3 - s) w c) + (3 - s) t c w` numbers. Read here so that
    the map before a block without expansion is made on the fly, row by row; other blocks count as
    in `paper`. Streaming over the bounds of blocks needs less.

    Args:
        graph: of a whole net.
        element_bytes: of a number.

    Returns:
        The largest of all blocks; None if there is no inverted residual.
    """
    by_block: dict[str, list[Node]] = {}
    for node in graph.nodes:
        by_block.setdefault(node.block, []).append(node)
    residuals = {b: n for b, n in by_block.items() if n[0].block_kind in INPUT_AND_OUTPUT}
    if not residuals:
        return None
    on_the_fly = {n[0].inputs[0] for n in residuals.values() if not _expands(n)}
    sizes = [_residual_elements(graph, nodes) for nodes in residuals.values()]
    for peak in block_peaks(graph, 1):
        if peak.block not in residuals and not on_the_fly & set(peak.counted):
            sizes.append(peak.size_bytes)
    return max(sizes) * element_bytes


def _expands(nodes: Sequence[Node]) -> bool:
    first = nodes[0].operator
    return isinstance(first, Conv) and first.groups == 1


def _residual_elements(graph: Graph, nodes: Sequence[Node]) -> int:
    source, out = nodes[0].inputs[0], nodes[-1].output
    filters = [n.operator for n in nodes if isinstance(n.operator, Conv) and n.operator.groups > 1]
    rows = filters[0].kernel[0] - filters[0].stride[0]
    (channels, _, width), (channels_out, _, width_out) = graph.shapes[source], graph.shapes[out]
    end = graph.elements(out) + rows * width * channels
    if not _expands(nodes):
        return end
    start = graph.elements(source) + rows * width_out * channels_out
    return max(start, end) + rows * filters[0].groups * width
