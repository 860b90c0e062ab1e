"""Reads what an ONNX file says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exeunt.backbone.onnx.graph import OnnxGraph, OnnxNode
from exeunt.errors import ExeuntError

SIZE = 224
"""Height and width where the file leaves them open."""

_ENDS = ("Softmax", "LogSoftmax", "Identity")  # behind logits


def image_shape_of(path: str | Path) -> tuple[int, int, int]:
    """(C, H, W) of the images that a file's network takes; where it leaves height and width open,
    `SIZE`.

    Raises:
        ExeuntError: as `graph_of`, for a file without one input of that kind.
    """
    return _image(_load(path, weights=False), path)[1]


def graph_of(path: str | Path) -> OnnxGraph:
    """What an ONNX file says, softmax at the end left out.

    Raises:
        ExeuntError: for a file that is none, or does not go from one tensor of images to one other.
    """
    model = _load(path, weights=True)
    import onnx.numpy_helper

    image, shape, batch = _image(model, path)
    outputs = [out.name for out in model.graph.output]
    if len(outputs) != 1:
        shown = ", ".join(outputs) or "none"
        raise ExeuntError(f"{path}: one output is needed, the logits; it has {shown}")
    output, needed = _needed(model, outputs[0])
    nodes = [_node(node) for node in needed]
    read = {name for node in nodes for name in node.inputs}
    tensors = {
        tensor.name: _tensor(onnx.numpy_helper.to_array(tensor))
        for tensor in model.graph.initializer
        if tensor.name in read
    }
    opset = max((v.version for v in model.opset_import if not v.domain), default=1)
    return OnnxGraph(str(path), opset, image, shape, batch, output, nodes, tensors)


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


def _needed(model: Any, output: str) -> tuple[str, list[Any]]:
    """The logits behind an output, and the nodes that they hang on, in order."""
    makers = {name: node for node in model.graph.node for name in node.output}
    while output in makers and makers[output].op_type in _ENDS:
        output = makers[output].input[0]
    needed, found = {output}, []
    for node in reversed(model.graph.node):
        if needed & {*node.output}:
            needed |= {*node.input}
            found.append(node)
    return output, found[::-1]


def _node(node: Any) -> OnnxNode:
    import onnx.helper

    attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    return OnnxNode(
        f"{domain}{node.op_type}", node.name, (*node.input,), (*node.output,), attributes
    )


def _plain(value: Any) -> Any:
    """An attribute as Python has it."""
    import onnx
    import onnx.numpy_helper

    if isinstance(value, onnx.TensorProto):
        return _tensor(onnx.numpy_helper.to_array(value))
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value


def _tensor(array: Any) -> Tensor:
    made = torch.from_numpy(array.copy())
    return made.float() if made.is_floating_point() else made
