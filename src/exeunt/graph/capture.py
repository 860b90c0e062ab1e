"""From a stage to the graph that `torch.export` makes of it, with some modules left whole.

A module that is to stay one operator is replaced, in a copy of the stage, by a stand-in that calls
one opaque operator; so it is captured as that, whatever it does inside. Pools that learn are
replaced by their plain operators (`plain_pools`).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from exeunt.errors import ExeuntError
from exeunt.graph.plain_pools import plain_pool
from exeunt.net import Stage
from exeunt.ops.lift import LiftDownPool2d
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

WHOLE = (ReX2d, ReNet2d, MixedPool2d, GatedPool2d, GFGP2d, LiftDownPool2d)
"""Modules that stay one operator, subclasses too (`RNNPool2d` is a `ReX2d`)."""


@torch.library.custom_op(  # torch 2.6 cannot infer list[int]
    "exeunt::whole", mutates_args=(), schema="(Tensor x, str path, int[] shape) -> Tensor"
)
def _whole(x: Tensor, path: str, shape: list[int]) -> Tensor:
    return x.new_zeros(x.shape[0], *shape)


@_whole.register_fake
def _(x: Tensor, path: str, shape: list[int]) -> Tensor:
    return x.new_empty(x.shape[0], *shape)


class _StandIn(nn.Module):
    """Takes the place of the module at `path`, which makes maps of this shape."""

    def __init__(self, path: str, shape: Sequence[int]) -> None:
        super().__init__()
        self.path, self.shape = path, list(shape)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.exeunt.whole(x, self.path, self.shape)
        return out


@dataclass(frozen=True)
class Captured:
    """A stage as ATen operators.

    Attributes:
        program: what `torch.export` made.
        whole: the modules that the stand-ins stand for, by their path in the stage.
        classes: class of every module by its path.
        weights: what is stored, by its name in the stage.
    """

    program: ExportedProgram
    whole: Mapping[str, nn.Module]
    classes: Mapping[str, type[nn.Module]]
    weights: Mapping[str, Tensor]

    def constant(self, name: str) -> Tensor | None:
        """The parameter or buffer that a placeholder stands for; None for an input."""
        signature = self.program.graph_signature
        for names in (
            signature.inputs_to_parameters,
            signature.inputs_to_buffers,
            signature.inputs_to_lifted_tensor_constants,
        ):
            if name in names:
                return self.weights[names[name]]
        return None

    def of(self, stage: nn.Module) -> Captured:
        """The same with the weights of `stage`, a net's own or a copy's, as they are now."""
        weights = {**self.weights, **dict(stage.named_buffers()), **dict(stage.named_parameters())}
        whole = {name: stage.get_submodule(name) for name in self.whole}
        return replace(self, weights=weights, whole=whole)


def capture(stage: Stage, state: Sequence[Tensor], path: str) -> Captured:
    """Exports a stage for a state of these shapes, with a batch of one.

    Args:
        stage: in evaluation mode; it is left as it is.
        state: what it takes.
        path: of the stage in the net, for messages.

    Raises:
        ExeuntError: when the stage does not run on such a state, or `torch.export` cannot follow
            its code.
    """
    classes = {name: type(module) for name, module in stage.named_modules()}
    try:
        shapes = _shapes_of_whole(stage, state)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        given = ", ".join("x".join(map(str, tensor.shape[1:])) for tensor in state)
        raise ExeuntError(f"{path} does not run on {given} ({reason})") from error
    copied = copy.deepcopy(stage)
    for name, shape in shapes.items():
        copied.set_submodule(name, _StandIn(name, shape))
    for name, module in list(copied.named_modules()):
        if (plain := plain_pool(module)) is not None:
            copied.set_submodule(name, plain)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(copied, tuple(state), strict=False)
    except Exception as error:  # whatever a user's forward makes of tracing
        reason = str(error).partition("\n")[0]
        raise ExeuntError(f"{path}: torch.export cannot follow its code ({reason})") from error
    whole = {name: stage.get_submodule(name) for name in shapes}
    weights = {n: t.detach() for n, t in (program.constants | program.state_dict).items()}
    return Captured(program, whole, classes, weights)


def _shapes_of_whole(stage: Stage, state: Sequence[Tensor]) -> dict[str, tuple[int, ...]]:
    """What the modules that stay whole put out, (C, H, W) by path."""
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = []
    inside: tuple[str, ...] = ()
    for name, module in stage.named_modules():
        inner = name.startswith(inside or "\0")
        if inner or not isinstance(module, WHOLE) or plain_pool(module) is not None:
            continue
        inside += (f"{name}.",)

        def note(_: nn.Module, __: Any, out: Tensor, name: str = name) -> None:
            shapes[name] = tuple(out.shape[1:])

        hooks.append(module.register_forward_hook(note))
    try:
        with torch.no_grad():
            stage(*state)
    finally:
        for hook in hooks:
            hook.remove()
    return shapes
