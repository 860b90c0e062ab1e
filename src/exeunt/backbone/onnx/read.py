"""A network of convolutions read from an ONNX file.

Every operator becomes a module under the name that it has in the file, so that exits can stand
behind it. What hangs on stored numbers and sizes alone is computed once, for images of the size
that the file states.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.backbone.onnx.call import OnnxCall
from exeunt.backbone.onnx.file import graph_of
from exeunt.backbone.onnx.graph import OnnxGraph, OnnxNode
from exeunt.backbone.onnx.layers import LAYERS
from exeunt.backbone.onnx.moves import MOVES
from exeunt.errors import ExeuntError

OPERATORS = dict(sorted((LAYERS | MOVES).items()))

_FREE_BATCH = 3  # images to follow a file on whose batch is free


@dataclass(frozen=True)
class Step:
    """One module of a network: what it reads, and what it puts out."""

    module: str
    reads: tuple[str, ...]
    gives: tuple[str, ...]


class OnnxNetwork(nn.Module):
    """A network that was read from a file, from images (N, C, H, W) to what it puts out.

    Args:
        modules: by name.
        steps: in order.
        image: name of the images.
        output: name of what is put out.
    """

    def __init__(
        self, modules: dict[str, nn.Module], steps: Sequence[Step], image: str, output: str
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.steps, self.image, self.output = tuple(steps), image, output

    def forward(self, x: Tensor) -> Tensor:
        made: dict[str, Any] = {self.image: x}
        for step in self.steps:
            out = self.get_submodule(step.module)(*(made[name] for name in step.reads))
            if len(step.gives) == 1:
                made[step.gives[0]] = out
            else:
                made |= {name: out[k] for k, name in enumerate(step.gives)}
        found: Tensor = made[self.output]
        return found


@torch.no_grad()
def read_onnx(path: str | Path) -> OnnxNetwork:
    """The network of an ONNX file, with its weights, in evaluation mode.

    Softmax at the end is left out, so that logits are put out.

    Raises:
        ExeuntError: for a file that is none, does not go from one tensor of images to one of
            logits, or holds an operator that is not known here, naming it and those that are.
    """
    return network_of(graph_of(path))


@torch.no_grad()
def network_of(graph: OnnxGraph) -> OnnxNetwork:
    """The network that a file says of, in evaluation mode.

    Raises:
        ExeuntError: as `read_onnx`.
    """
    reader = _Reader(graph)
    generator = torch.Generator().manual_seed(0)
    size = (reader.batch, *graph.shape)
    reader.shown[graph.image] = torch.randn(size, generator=generator)
    for node in graph.nodes:
        reader.read(node)
    if graph.output not in reader.shown:
        raise ExeuntError(f"{graph.source}: its output does not hang on the images")
    return OnnxNetwork(reader.modules, reader.steps, graph.image, graph.output).eval()


class _Reader:
    """Reads nodes one after the other, and runs each as it is read."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.source, self.opset = graph.source, graph.opset
        self.batch = graph.batch or _FREE_BATCH
        self.constants = dict(graph.tensors)
        self.shown: dict[str, Tensor] = {}
        self.modules: dict[str, nn.Module] = {}
        self.steps: list[Step] = []
        self.readers = Counter(name for node in graph.nodes for name in node.inputs)

    def read(self, node: OnnxNode) -> None:
        """Reads a node: a module, or numbers that stay as they are."""
        make = OPERATORS.get(node.kind)
        where = f"{self.source}: {node.name or node.outputs[0]!r}"
        if make is None:
            raise ExeuntError(f"{where}: {node.kind} is not read here; {', '.join(OPERATORS)} are")
        inputs = self._inputs(node)
        call = OnnxCall(node.kind, where, node.attributes, inputs, self.batch, self.opset)
        if self._takes_bias(node, call):
            return
        module = make(call).eval()
        reads = [name for name in node.inputs if name in self.shown and call.takes(name)]
        given = [self.shown[name] for name in reads] or call.stored
        try:
            out = module(*given)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            shapes = ", ".join("x".join(map(str, t.shape)) for t in given)
            raise ExeuntError(f"{where}: {node.kind} does not run on {shapes}: {reason}") from error
        outputs = [name for name in node.outputs if name]
        several = dict(zip(outputs, out if len(outputs) > 1 else [out], strict=False))
        if not reads or node.kind == "Shape":
            self.constants |= several
            return
        name = self._name(node)
        self.modules[name], self.shown = module, self.shown | several
        self.steps.append(Step(name, tuple(reads), tuple(outputs)))

    def _inputs(self, node: OnnxNode) -> list[tuple[str, Tensor | None, bool]]:
        """Of each input its name, what it is, and whether that is stored."""
        return [
            (name, self.constants.get(name, self.shown.get(name)), name in self.constants)
            for name in node.inputs
        ]

    def _takes_bias(self, node: OnnxNode, call: OnnxCall) -> bool:
        """Gives what is added to a matrix product to the matrix, if that is all that happens."""
        if node.kind != "Add" or len(self.steps) == 0:
            return False
        last, added = self.steps[-1], call.stored
        module = self.modules[last.module]
        plain = isinstance(module, nn.Linear) and module.bias is None and len(added) == 1
        if not plain or last.gives[0] not in node.inputs or self.readers[last.gives[0]] != 1:
            return False
        assert isinstance(module, nn.Linear)
        if added[0].shape != (module.out_features,):
            return False
        module.bias = nn.Parameter(added[0].clone(memory_format=torch.contiguous_format))
        self.steps[-1] = Step(last.module, last.reads, (node.outputs[0],))
        self.shown[node.outputs[0]] = self.shown[last.gives[0]] + added[0]
        return True

    def _name(self, node: OnnxNode) -> str:
        """A name for the module of a node, as near to its own as may be."""
        parts = [part for part in node.name.split("/") if part]
        pairs = zip(parts, [*parts, ""][1:], strict=True)
        kept = [part for part, after in pairs if not after.startswith(f"{part}.")]
        plain = re.sub(r"\W+", "_", "_".join(kept)).strip("_")
        if not plain or plain[0].isdigit():
            plain = f"{node.kind.lower()}_{len(self.steps)}"
        taken = {*self.modules, *dir(OnnxNetwork)}
        return next(name for name in _numbered(plain) if name not in taken)


def _numbered(name: str) -> Iterable[str]:
    yield name
    yield from (f"{name}_{k}" for k in range(2, 1_000_000))
