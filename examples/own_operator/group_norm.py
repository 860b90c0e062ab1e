"""An operator of one's own: group norm, in the graph, in C and in ONNX, from one class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import exeunt
from exeunt.export.c import Kernel

HERE = Path(__file__).parent


@exeunt.register_operator(torch.ops.aten.group_norm.default)
@dataclass(frozen=True)
class GroupNorm(exeunt.OwnOperator):
    """Each group of channels less its mean over the map, divided by its deviation."""

    groups: int
    epsilon: float

    @classmethod
    def of(cls, call):
        x, groups = call.shape, call.argument(1, "num_groups", 1)
        weight, bias = call.constants.get(1), call.constants.get(2)
        if len(x) != 3 or weight is None or bias is None:
            return None  # said to be no plain operator
        epsilon = call.argument(4, "eps", 1e-5)
        return cls(groups, epsilon), {"scale": weight, "shift": bias}

    def run(self, inputs, constants):
        scale, shift = constants["scale"], constants["shift"]
        return F.group_norm(inputs[0], self.groups, scale, shift, self.epsilon)

    def kept_bytes(self, taken, element_bytes):
        return 8 * self.groups  # a mean and a factor each, found before the first row

    def kernel_f32(self, node, graph, source, number):
        fields = {
            name: source.array("float", f"{name}_{number}", [f"{n:.9g}f" for n in numbers])
            for name, numbers in (
                ("scale", node.constants["scale"].double().tolist()),
                ("shift", node.constants["shift"].double().tolist()),
            )
        }
        fields |= {"groups": self.groups, "epsilon": f"{self.epsilon:.9g}f"}
        files = {file: (HERE / file).read_text() for file in ("group_norm.h", "group_norm_f32.c")}
        return Kernel.of("group_norm_f32", fields, source, number, own=files)

    def write_onnx(self, build, node, shapes, to):
        channels, height, width = shapes[node.output]
        apart = build.integers([0, self.groups, -1])
        whole = build.integers([0, channels, height, width])
        x = build.add("Reshape", node.inputs[0], apart)
        ones, zeros = (build.floats(torch.full((self.groups,), n)) for n in (1.0, 0.0))
        x = build.add("InstanceNormalization", x, ones, zeros, epsilon=self.epsilon)
        x = build.add("Reshape", x, whole)
        scale, shift = (build.floats(node.constants[n].view(-1, 1, 1)) for n in ("scale", "shift"))
        build.add("Add", build.add("Mul", x, scale), shift, to=to)
        return True


if __name__ == "__main__":
    exeunt.check_operator(nn.GroupNorm(2, 6), (6, 9, 7))
