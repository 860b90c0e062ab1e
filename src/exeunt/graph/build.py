"""A net, lowered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from exeunt.errors import ExeuntError
from exeunt.graph.capture import Captured, capture
from exeunt.graph.fold import fold
from exeunt.graph.graph import Graph, Node, StageGraph
from exeunt.graph.lower import lower
from exeunt.graph.operators import Shape, UnloweredStage
from exeunt.graph.vectors import with_vectors
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet, Stage, State
from exeunt.ops.macs import count_macs

IMAGE = "image"


@dataclass(frozen=True)
class AsOne:
    """A stage that stays one operator.

    Attributes:
        stage: itself.
        made: shape of each output that it computes, by its number, the logits being 0.
        passed: which tensor of the state it takes each other output is.
        macs: multiply-adds of it.
    """

    stage: Stage
    made: Mapping[int, Shape]
    passed: Mapping[int, int]
    macs: int

    @classmethod
    def of(cls, stage: Stage, state: State) -> AsOne:
        """Runs a stage once."""
        outputs = stage(*state)
        places = {id(tensor): place for place, tensor in enumerate(state)}
        passed = {k: places[id(out)] for k, out in enumerate(outputs) if id(out) in places}
        made = {k: tuple(out.shape[1:]) for k, out in enumerate(outputs) if k not in passed}
        return cls(stage, made, passed, count_macs(stage, *state).total)

    def graph(self, taken: Sequence[str], path: str) -> tuple[StageGraph, dict[str, Shape]]:
        """Its nodes, one for each output that it computes, and their shapes."""
        weights = {**dict(self.stage.named_parameters()), **dict(self.stage.named_buffers())}
        stored = {name: tensor.detach() for name, tensor in weights.items()}
        nodes = []
        for number in self.made:
            operator = UnloweredStage(number, self.stage, 0 if number else self.macs)
            output = f"{path}#{number + 1}" if number else path
            constants = {} if number else stored
            nodes.append(Node(operator, tuple(taken), output, path, path, "Stage", constants))
        names = {n.operator.number: n.output for n in nodes}  # type: ignore[attr-defined]
        names |= {number: taken[place] for number, place in self.passed.items()}
        state = tuple(names[number] for number in range(1, len(names)))
        shapes = {names[number]: shape for number, shape in self.made.items()}
        return StageGraph(tuple(nodes), names[0], state), shapes


@dataclass(frozen=True)
class CapturedNet:
    """A net whose code has been followed, so that it can be lowered with one set of weights after
    the other.

    Attributes:
        stages: in order.
        image: shape of the input, (C, H, W).
    """

    stages: tuple[Captured | AsOne, ...]
    image: Shape

    @classmethod
    @torch.no_grad()
    def of(
        cls, net: MultiExitNet, image_size: int | tuple[int, int], *, whole_stages: bool = False
    ) -> CapturedNet:
        """Captures a net for images of one size; the net is left as it is.

        Args:
            net: any multi-exit net, trained or not.
            image_size: height and width, or one number for both.
            whole_stages: let stages without a plain form stay one operator.

        Raises:
            ExeuntError: when a stage cannot be exported.
        """
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        with evaluating(net):
            weight = next(net.parameters())
            state = net.begin(weight.new_zeros(1, net.in_chans, height, width))
            stages: list[Captured | AsOne] = []
            for k, stage in enumerate(net.stages):
                assert isinstance(stage, Stage)
                try:
                    captured = capture(stage, state, _path(k))
                    if whole_stages:
                        lower(captured, [*map(str, range(len(state)))], _path(k))
                    stages.append(captured)
                except ExeuntError:
                    if not whole_stages:
                        raise
                    stages.append(AsOne.of(stage, state))
                _, state = net.step(k, state)
        return cls(tuple(stages), (net.in_chans, height, width))

    def graph(self, net: MultiExitNet | None = None, *, opaque: bool = False) -> Graph:
        """The graph of the net as it was captured, or of another with its architecture.

        Args:
            net: whose weights to take as they are now. Constants of the graph are then computed of
                its parameters by what autograd follows.
            opaque: let operators without a plain form stand as `Opaque`: enough to plan memory, not
                to count or run them.

        Raises:
            ExeuntError: when a stage has an operator without a plain form.
        """
        names = [IMAGE]
        shapes: dict[str, Shape] = {IMAGE: self.image}
        stages = []
        for k, captured in enumerate(self.stages):
            if isinstance(captured, AsOne):
                made, found = captured.graph(names, _path(k))
                stages.append(made)
                shapes |= found
                names = [*made.state]
                continue
            source = captured if net is None else captured.of(net.stages[k])
            lowered, (logits, *handed) = lower(source, names, _path(k), opaque=opaque)
            nodes = fold(lowered.nodes, [logits, *handed])
            nodes = with_vectors(nodes, logits, lowered.shapes, [logits, *handed])
            called = _called(nodes)
            shapes |= {called[node.output]: lowered.shapes[node.output] for node in nodes}
            nodes = [_renamed(node, called) for node in nodes]
            names = [called.get(name, name) for name in handed]
            stages.append(StageGraph(tuple(nodes), called.get(logits, logits), tuple(names)))
        return Graph(IMAGE, tuple(stages), shapes)


@torch.no_grad()
def build_graph(
    net: MultiExitNet,
    image_size: int | tuple[int, int],
    *,
    opaque: bool = False,
    whole_stages: bool = False,
) -> Graph:
    """The graph of a net for images of one size; the net is left as it is.

    Args:
        net: any multi-exit net, trained or not.
        image_size: height and width, or one number for both.
        opaque: as `CapturedNet.graph` has it.
        whole_stages: let a stage that cannot be exported, or has an operator without a plain form,
            be one operator, which runs and is counted, and has no form in integers or C.

    Raises:
        ExeuntError: when a stage cannot be exported, or has an operator without a plain form.
    """
    captured = CapturedNet.of(net, image_size, whole_stages=whole_stages)
    return captured.graph(opaque=opaque)


def _path(k: int) -> str:
    """Of stage `k` in the net."""
    return f"stages.{k}"


def _called(nodes: Sequence[Node]) -> dict[str, str]:
    """Names of what nodes write: those of their modules, numbered where one module has several."""
    count = Counter[str]()
    names = {}
    for node in nodes:
        count[node.module] += 1
        again = f"#{count[node.module]}" if count[node.module] > 1 else ""
        names[node.output] = node.module + again
    return names


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    inputs = tuple(names.get(name, name) for name in node.inputs)
    return replace(node, inputs=inputs, output=names[node.output])
