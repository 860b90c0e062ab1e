"""Networks whose modules read and write named tensors, cut into trunks that hand on what is needed.

For nets that are no chain: what is made early may be read much later. The state between two stages
is then what some later module reads, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from exeunt.net import MultiExitNet, Stage
from exeunt.ops.conv import init_conv_net
from exeunt.ops.exits import exit_kinds, make_exit


@dataclass(frozen=True)
class Node:
    """A module with the names of the tensors that it reads and returns, in order.

    Writing under a name that exists replaces that tensor, for instance by one that begins with it.
    """

    name: str
    module: nn.Module
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class Feature(NamedTuple):
    """What an exit reads: the name of a tensor, and its channels."""

    tensor: str
    channels: int


class _Wires(NamedTuple):
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    done: tuple[str, ...]  # nobody reads these afterwards


class Flow(nn.Module):
    """Runs nodes in order, and forgets a tensor as soon as nobody reads it any more.

    Args:
        nodes: their modules become children by their names.
        takes: names of the tensors that come in.
        leaves: names of those that go out.
    """

    def __init__(self, nodes: Sequence[Node], takes: Sequence[str], leaves: Sequence[str]) -> None:
        super().__init__()
        self.takes, self.leaves, self.last = tuple(takes), tuple(leaves), nodes[-1].name
        for node in nodes:
            self.add_module(node.name, node.module)
        self._wires: list[_Wires] = []
        needed = {*leaves}
        for node in reversed(nodes):
            done = {*node.reads, *node.writes} - needed
            self._wires.insert(0, _Wires(node.reads, node.writes, tuple(sorted(done))))
            needed = _before(node, needed)

    def forward(self, *state: Tensor) -> tuple[Tensor, ...]:
        held = dict(zip(self.takes, state, strict=True))
        for module, wires in zip(self.children(), self._wires, strict=True):
            _run(module, wires, held)
        return tuple(held[name] for name in self.leaves)

    def extra_repr(self) -> str:
        return f"{', '.join(self.takes)} -> {', '.join(self.leaves)}"


def flow_net(
    nodes: Sequence[Node],
    ends: Mapping[str, Feature],
    num_classes: int,
    in_chans: int,
    *,
    exit_head: str | Sequence[str],
    exit_width: int | None,
    dropout: float,
) -> MultiExitNet:
    """A freshly initialised network of nodes, cut into one stage for each exit.

    Args:
        nodes: in order; the image is called `image`.
        ends: names of the nodes behind which an exit is, the last of all nodes among them.
        num_classes: K.
        in_chans: channels of the image.
        exit_head: kind of all exits but the last, which is `"conv"`; or the kind of each. See
            `exeunt.ops.exits`.
        exit_width: channels inside the `"conv"` exits; those of the feature if None.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for an unknown exit head.
    """
    kinds = exit_kinds(exit_head, len(ends), last="conv")
    stages: list[Stage] = []
    for kind, flow in zip(kinds, cut(nodes, ends, "image"), strict=True):
        channels = ends[flow.last].channels
        drop = dropout if flow.last == nodes[-1].name else 0.0
        stages.append(Stage(flow, make_exit(kind, channels, num_classes, drop, exit_width)))
    net = MultiExitNet(stages, num_classes, in_chans)
    init_conv_net(net)
    return net


def cut(nodes: Sequence[Node], ends: Mapping[str, Feature], source: str) -> list[Flow]:
    """Cuts a net into flows, one up to each node in `ends`.

    A flow hands on what later flows read, in the order in which it began, and the feature of its
    exit last.

    Args:
        nodes: of the whole net, in order.
        ends: names of the nodes that end a flow, the last of all nodes among them.
        source: name of the image.
    """
    stops = [n for n, node in enumerate(nodes, 1) if node.name in ends]
    spans = [nodes[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
    order = list(dict.fromkeys(name for node in nodes for name in node.writes))
    handed: list[list[str]] = []
    needed: set[str] = set()
    for span in reversed(spans):
        feature = ends[span[-1].name].tensor
        handed.insert(0, [*(name for name in order if name in needed - {feature}), feature])
        needed.add(feature)
        for node in reversed(span):
            needed = _before(node, needed)
    taken = [[source], *handed]
    return [Flow(*parts) for parts in zip(spans, taken, handed, strict=False)]


def _before(node: Node, needed: set[str]) -> set[str]:
    """What must exist before a node runs, so that `needed` exists after it."""
    return needed - {*node.writes} | {*node.reads}


def _run(module: nn.Module, wires: _Wires, held: dict[str, Tensor]) -> None:
    out = module(*[held[name] for name in wires.reads])
    held.update(zip(wires.writes, out if isinstance(out, tuple) else (out,), strict=True))
    for name in wires.done:
        del held[name]
