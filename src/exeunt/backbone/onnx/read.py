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
from exeunt.backbone.onnx.layers import LAYERS
from exeunt.backbone.onnx.moves import MOVES
from exeunt.errors import ExeuntError

SIZE = 224
"""Height and width where the file leaves them open."""

OPERATORS = dict(sorted((LAYERS | MOVES).items()))

_ENDS = ("Softmax", "LogSoftmax", "Identity")  # behind logits
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


def image_shape_of(path: str | Path) -> tuple[int, int, int]:
    """(C, H, W) of the images that a file's network takes; where it leaves height and width open,
    `SIZE`.

    Raises:
        ExeuntError: as `read_onnx`, for a file without one input of that kind.
    """
    return _image(_load(path, weights=False), path)[1]


@torch.no_grad()
def read_onnx(path: str | Path) -> OnnxNetwork:
    """The network of an ONNX file, with its weights, in evaluation mode.

    Softmax at the end is left out, so that logits are put out.

    Raises:
        ExeuntError: for a file that is none, does not go from one tensor of images to one of
            logits, or holds an operator that is not known here, naming it and those that are.
    """
    model = _load(path, weights=True)
    image, (channels, height, width), batch = _image(model, path)
    reader = _Reader(model, str(path), batch or _FREE_BATCH)
    generator = torch.Generator().manual_seed(0)
    size = (reader.batch, channels, height, width)
    reader.shown[image] = torch.randn(size, generator=generator)
    outputs = [out.name for out in model.graph.output]
    if len(outputs) != 1:
        shown = ", ".join(outputs) or "none"
        raise ExeuntError(f"{path}: one output is needed, the logits; it has {shown}")
    output = reader.behind(outputs[0])
    for node in reader.needed(output):
        reader.read(node)
    if output not in reader.shown:
        raise ExeuntError(f"{path}: its output does not hang on the images")
    return OnnxNetwork(reader.modules, reader.steps, image, output).eval()


def _load(path: str | Path, *, weights: bool) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ExeuntError(
            f'{path}: ONNX files are read with onnx, which is not there: pip install "exeunt[onnx]"'
        ) from error
    if not Path(path).is_file():
        raise ExeuntError(f"{path}: there is no such file; a network in ONNX is needed")
    try:
        model = onnx.load(str(path), load_external_data=weights)
        onnx.checker.check_model(model)
    except Exception as error:  # whatever a damaged file makes of protobuf and its checker
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ExeuntError(f"{path} is no ONNX file that can be read: {reason}") from error
    return model


def _image(model: Any, path: str | Path) -> tuple[str, tuple[int, int, int], int]:
    """Name and shape of the images, and how many the file is for; 0 where that is open."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [given for given in model.graph.input if given.name not in stored]
    if len(inputs) == 1:
        batch, *sizes = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim] or [0]
        if len(sizes) == 3 and sizes[0] > 0:
            channels, height, width = sizes
            return inputs[0].name, (channels, height or SIZE, width or SIZE), batch
    shown = ", ".join(given.name for given in inputs) or "none"
    raise ExeuntError(
        f"{path}: one input is needed, images (N, C, H, W) with C stated; it has {shown}"
    )


class _Reader:
    """Reads nodes one after the other, and runs each as it is read."""

    def __init__(self, model: Any, path: str, batch: int) -> None:
        import onnx.numpy_helper

        self.path, self.batch, self.model = path, batch, model
        self.opset = max((v.version for v in model.opset_import if not v.domain), default=1)
        self.constants: dict[str, Tensor] = {
            tensor.name: _tensor(onnx.numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }
        self.shown: dict[str, Tensor] = {}
        self.modules: dict[str, nn.Module] = {}
        self.steps: list[Step] = []
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.readers = Counter(name for node in model.graph.node for name in node.input)

    def behind(self, output: str) -> str:
        """What an output is made of, without what comes behind logits."""
        while output in self.makers and self.makers[output].op_type in _ENDS:
            output = self.makers[output].input[0]
        return output

    def needed(self, output: str) -> list[Any]:
        """The nodes that an output hangs on, in order."""
        needed, found = {output}, []
        for node in reversed(self.model.graph.node):
            if needed & {*node.output}:
                needed |= {*node.input}
                found.append(node)
        return found[::-1]

    def read(self, node: Any) -> None:
        """Reads a node: a module, or numbers that stay as they are."""
        import onnx.helper

        make = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        where = f"{self.path}: {node.name or node.output[0]!r}"
        if make is None:
            kind = f"{node.domain}.{node.op_type}".lstrip(".")
            raise ExeuntError(f"{where}: {kind} is not read here; {', '.join(OPERATORS)} are")
        attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        call = OnnxCall(node.op_type, where, attributes, self._inputs(node), self.batch, self.opset)
        if self._takes_bias(node, call):
            return
        module = make(call).eval()
        reads = [name for name in node.input if name in self.shown and call.takes(name)]
        given = [self.shown[name] for name in reads] or call.stored
        try:
            out = module(*given)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            shapes = ", ".join("x".join(map(str, t.shape)) for t in given)
            raise ExeuntError(
                f"{where}: {node.op_type} does not run on {shapes}: {reason}"
            ) from error
        outputs = [name for name in node.output if name]
        several = dict(zip(outputs, out if len(outputs) > 1 else [out], strict=False))
        if not reads or node.op_type == "Shape":
            self.constants |= several
            return
        name = self._name(node)
        self.modules[name], self.shown = module, self.shown | several
        self.steps.append(Step(name, tuple(reads), tuple(outputs)))

    def _inputs(self, node: Any) -> list[tuple[str, Tensor | None, bool]]:
        """Of each input its name, what it is, and whether that is stored."""
        return [
            (name, self.constants.get(name, self.shown.get(name)), name in self.constants)
            for name in node.input
        ]

    def _takes_bias(self, node: Any, call: OnnxCall) -> bool:
        """Gives what is added to a matrix product to the matrix, if that is all that happens."""
        if node.op_type != "Add" or len(self.steps) == 0:
            return False
        last, added = self.steps[-1], call.stored
        module = self.modules[last.module]
        plain = isinstance(module, nn.Linear) and module.bias is None and len(added) == 1
        if not plain or last.gives[0] not in node.input or self.readers[last.gives[0]] != 1:
            return False
        assert isinstance(module, nn.Linear)
        if added[0].shape != (module.out_features,):
            return False
        module.bias = nn.Parameter(added[0])
        self.steps[-1] = Step(last.module, last.reads, (node.output[0],))
        self.shown[node.output[0]] = self.shown[last.gives[0]] + added[0]
        return True

    def _name(self, node: Any) -> str:
        """A name for the module of a node, as near to its own as may be."""
        parts = [part for part in node.name.split("/") if part]
        pairs = zip(parts, [*parts, ""][1:], strict=True)
        kept = [part for part, after in pairs if not after.startswith(f"{part}.")]
        plain = re.sub(r"\W+", "_", "_".join(kept)).strip("_")
        if not plain or plain[0].isdigit():
            plain = f"{node.op_type.lower()}_{len(self.steps)}"
        taken = {*self.modules, *dir(OnnxNetwork)}
        return next(name for name in _numbered(plain) if name not in taken)


def _numbered(name: str) -> Iterable[str]:
    yield name
    yield from (f"{name}_{k}" for k in range(2, 1_000_000))


def _tensor(array: Any) -> Tensor:
    made = torch.from_numpy(array.copy())
    return made.float() if made.is_floating_point() else made


def _plain(value: Any) -> Any:
    """An attribute as Python has it."""
    import onnx
    import onnx.numpy_helper

    if isinstance(value, onnx.TensorProto):
        return _tensor(onnx.numpy_helper.to_array(value))
    if isinstance(value, bytes):
        return value.decode()
    return (
        [_plain(each) for each in value]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
    )
