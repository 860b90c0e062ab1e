"""What an ONNX file says, as plain values, and as text that weights files carry.

The text holds operators, names, whole numbers and the few others that settle what operators do. The
weights are left out: a weights file has them as they were trained. It is compressed JSON, so that
reading it runs nothing.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypedDict

import torch
from torch import Tensor

from exeunt.documents import parse_json
from exeunt.errors import ExeuntError
from exeunt.runner.schema import validated

_FEW = 16  # numbers of a tensor, such as ends and scales, that are kept whatever they are
_MOST_BYTES = 1 << 25  # of text
_MOST_NUMBERS = 1 << 28  # that were left out, 1 GiB
_KINDS = ("float32", "bool", "uint8", "int8", "int16", "int32", "int64")
_TENSOR = "tensor"

_Stored = tuple[str, list[int], list[Any] | None]  # kind, sizes; numbers, unless they are weights
_Node = tuple[str, str, list[str], list[str], dict[str, Any]]


class _Told(TypedDict):
    opset: int
    image: str
    shape: tuple[int, int, int]
    batch: int
    output: str
    nodes: list[_Node]
    tensors: dict[str, _Stored]


@dataclass(frozen=True)
class OnnxNode:
    """One operator of a file.

    Attributes:
        kind: of operator, behind its domain and a dot where that is not ONNX's own.
        name: of the node, which may be empty.
        inputs: names of tensors, empty where one is left out.
        outputs: likewise.
        attributes: by name.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def told(self) -> _Node:
        """As JSON has it."""
        given = {
            name: {_TENSOR: _of_tensor(value)} if isinstance(value, Tensor) else value
            for name, value in self.attributes.items()
        }
        return self.kind, self.name, [*self.inputs], [*self.outputs], given

    @classmethod
    def untold(
        cls, kind: str, name: str, inputs: list[str], outputs: list[str], given: dict[str, Any]
    ) -> OnnxNode:
        """What `told` gave."""
        attributes = {
            key: _tensor(*validated(value, dict[str, _Stored], key)[_TENSOR])
            if isinstance(value, dict)
            else value
            for key, value in given.items()
        }
        return cls(kind, name, (*inputs,), (*outputs,), attributes)


@dataclass(frozen=True)
class OnnxGraph:
    """What a file says.

    Attributes:
        source: the file, for messages.
        opset: version of the operators.
        image: name of the images.
        shape: (C, H, W) of an image.
        batch: images that the file is for; 0 where that is open.
        output: name of the logits.
        nodes: that these hang on, in order.
        tensors: that are stored, by name.
    """

    source: str
    opset: int
    image: str
    shape: tuple[int, int, int]
    batch: int
    output: str
    nodes: Sequence[OnnxNode]
    tensors: dict[str, Tensor]

    def packed(self) -> str:
        """As text, without weights."""
        told: _Told = {
            "opset": self.opset,
            "image": self.image,
            "shape": self.shape,
            "batch": self.batch,
            "output": self.output,
            "nodes": [node.told() for node in self.nodes],
            "tensors": {name: _of_tensor(tensor) for name, tensor in self.tensors.items()},
        }
        text = json.dumps(told, separators=(",", ":"))
        return base64.b64encode(zlib.compress(text.encode(), 9)).decode()

    @classmethod
    def unpacked(cls, text: str, source: str) -> OnnxGraph:
        """What was packed. In place of weights stand numbers that let it run.

        Args:
            text: of `packed`.
            source: for messages.

        Raises:
            ExeuntError: for text that is damaged, or says of more than a network has.
        """
        what = f"{source}: the network that is stored with these weights"
        try:
            reader = zlib.decompressobj()
            plain = reader.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
            if not reader.eof:
                raise ValueError(f"no end within {_MOST_BYTES} bytes")
            told: _Told = validated(parse_json(plain.decode(), what), _Told, "it")
            tensors = {name: _tensor(*stored) for name, stored in told["tensors"].items()}
            nodes = [OnnxNode.untold(*node) for node in told["nodes"]]
            numbers = prod(told["shape"]) + sum(tensor.numel() for tensor in tensors.values())
            odd = min(told["shape"]) < 1 or told["batch"] not in range(65)
            if odd or numbers > _MOST_NUMBERS:
                raise ValueError("sizes that no network has")
        except (ValueError, TypeError, KeyError, RuntimeError, zlib.error) as error:
            reason = str(error).partition("\n")[0]
            raise ExeuntError(f"{what} is damaged: {reason}") from error
        return cls(source, told["opset"], told["image"], told["shape"], told["batch"],
                   told["output"], nodes, tensors)  # fmt: skip


def _of_tensor(tensor: Tensor) -> _Stored:
    kept = not tensor.is_floating_point() or tensor.numel() <= _FEW
    kind = str(tensor.dtype).removeprefix("torch.")
    return kind, [*tensor.shape], tensor.flatten().tolist() if kept else None


def _tensor(kind: str, sizes: list[int], values: list[Any] | None) -> Tensor:
    """A stored tensor; where it was left out, numbers whose sums over its inputs stay small."""
    if kind not in _KINDS or min(sizes, default=0) < 0 or prod(sizes) > _MOST_NUMBERS:
        raise ValueError(f"a tensor of {kind} and sizes {sizes}")
    if values is None:
        return torch.tensor(0.1 * sizes[0] / max(1, prod(sizes))).expand(sizes)
    return torch.tensor(values, dtype=getattr(torch, kind)).reshape(sizes)
