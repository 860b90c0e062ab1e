"""A stage as it grows: nodes and constants under names that are given once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from exeunt.graph.operators import Shape

OPSET = 18
"""The oldest that pads along named axes, which leaves the batch free."""

_IR = 8  # the file format that goes with it
BATCH = "batch"


class Builder:
    """Collects the nodes of one ONNX graph.

    Args:
        prefix: of the names that are made up here.

    Attributes:
        nodes: in the order in which they run.
        constants: by name.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._path = ""
        self._count = 0
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def within(self, path: str) -> None:
        """Names what comes next after this module."""
        self._path, self._count = path, 0

    def add(self, kind: str, *inputs: str, to: str | None = None, **attributes: Any) -> str:
        """Adds a node with one output and returns that output's name."""
        return self.split(kind, *inputs, count=1, to=to, **attributes)[0]

    def split(
        self, kind: str, *inputs: str, count: int, to: str | None = None, **attributes: Any
    ) -> list[str]:
        """Adds a node with `count` outputs and returns their names."""
        names = [self._fresh(kind) if to is None else to for _ in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=names[0], **attributes))
        return names

    def floats(self, value: Tensor | NDArray[Any] | float) -> str:
        """A float32 constant."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        return self._constant(array.astype(np.float32))

    def integers(self, values: Sequence[int]) -> str:
        """A vector of int64."""
        return self._constant(np.array(values, np.int64))

    def slice(
        self, x: str, axis: int, start: int, stop: int, step: int = 1, to: str | None = None
    ) -> str:
        """`x[start:stop:step]` along one axis, the batch being 0; to the end of a step below 0."""
        end = stop if step > 0 else -(2**31)
        places = (self.integers([n]) for n in (start, end, axis, step))
        return self.add("Slice", x, *places, to=to)

    def model(
        self,
        name: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        shapes: dict[str, Shape],
        facts: dict[str, str],
    ) -> onnx.ModelProto:
        """What was collected, as a model, checked.

        Args:
            name: of the graph.
            inputs: names of what it takes.
            outputs: names of what it gives.
            shapes: of these, for one image; the batch stays free.
            facts: that travel in the file's metadata.
        """
        graph = helper.make_graph(
            self.nodes,
            name,
            [value_of(n, shapes[n]) for n in inputs],
            [value_of(n, shapes[n]) for n in outputs],
            list(self.constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="exeunt",
            ir_version=_IR,
        )
        helper.set_model_props(model, facts)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}{self._path}/{kind.lower()}_{self._count}"

    def _constant(self, array: NDArray[Any]) -> str:
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._known:
            name = f"{self._prefix}constant_{len(self._known)}"
            self._known[key] = name
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return self._known[key]


def value_of(name: str, shape: Shape) -> onnx.ValueInfoProto:
    """A float32 tensor of so many images, (N, *shape)."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])
