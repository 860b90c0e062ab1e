"""The one contract: a multi-exit network is a sequence of stages.

A stage has two named parts: `trunk(*state) -> state` and `exit(feature) -> logits`, and a method
`feature(*state)` that picks what the exit reads. The state is a tuple of batch-first tensors and
means nothing to anyone but the stages, so a plain chain carries one tensor, a multi-scale net one
per scale. Whoever drives the net needs two calls:

    state = net.begin(x)
    logits, state = net.step(0, state)      # (N, K); stop here, or go on with the rows that stay

`net(x)` runs every stage and returns the list of E logits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from exeunt.errors import ExeuntError
from exeunt.mode import evaluating
from exeunt.ops.macs import counting_macs

if TYPE_CHECKING:
    pass

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class ExitInfo:
    """What is known of one exit before anything is trained.

    Attributes:
        index: 0 to E-1.
        module: name of the exit head in the net.
        channels: C of the feature that the head reads.
        reduction: how many times smaller than the image the feature is (rounded up).
        macs: multiply-adds of one image that leaves here: all trunks and all heads up to this one.
    """

    index: int
    module: str
    channels: int
    reduction: int
    macs: int


class Stage(nn.Module):
    """One step of a multi-exit network: a trunk that moves the state on, and an exit.

    Args:
        trunk: takes the tensors of the state; returns the next state, a tuple, or its one tensor.
        exit: takes the feature (N, C, H, W), returns logits (N, K).
    """

    def __init__(self, trunk: nn.Module, exit: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.exit = exit

    def advance(self, *state: Tensor) -> State:
        """Runs the trunk alone."""
        moved = self.trunk(*state)
        return moved if isinstance(moved, tuple) else (moved,)

    def feature(self, *state: Tensor) -> Tensor:
        """What the exit reads of the state: its last tensor, unless a subclass knows better."""
        return state[-1]

    def forward(self, *state: Tensor) -> tuple[Tensor, ...]:
        """Returns (logits, *state)."""
        state = self.advance(*state)
        return self.exit(self.feature(*state)), *state


class MultiExitNet(nn.Module):
    """A sequence of stages (see the module's docstring). Parameters are `stages.K.trunk.*` and
    `stages.K.exit.*`.

    Args:
        stages: E of them, in order.
        num_classes: K of every exit.
        in_chans: channels of the image.

    Attributes:
        origin: name and arguments that `create_model` builds the network anew from; None where
            nobody knows.

    Raises:
        ExeuntError: when there is no stage.
    """

    def __init__(self, stages: Iterable[Stage], num_classes: int, in_chans: int = 3) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        if not self.stages:
            raise ExeuntError("MultiExitNet: got no stage; a net needs at least one")
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.origin: tuple[str, dict[str, Any]] | None = None

    @property
    def num_exits(self) -> int:
        """E."""
        return len(self.stages)

    def begin(self, x: Tensor) -> State:
        """The state before the first stage, from images (N, in_chans, H, W).

        Raises:
            ExeuntError: when x has another shape.
        """
        if isinstance(x, Proxy):  # whose shape torch.fx does not know
            return (x,)
        if x.dim() != 4 or x.shape[1] != self.in_chans:
            raise ExeuntError(
                f"got images of shape {tuple(x.shape)}; expected (N, {self.in_chans}, H, W)"
            )
        return (x,)

    def step(self, k: int, state: State) -> tuple[Tensor, State]:
        """Runs stage k (0-based): logits (N, K) of its exit, and the state for stage k + 1."""
        logits, *moved = self.stages[k](*state)
        return logits, tuple(moved)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits of every exit, E tensors (N, K)."""
        state = self.begin(x)
        outputs = []
        for k in range(self.num_exits):
            logits, state = self.step(k, state)
            outputs.append(logits)
        return outputs

    @torch.no_grad()
    def exit_info(self, image_size: int | tuple[int, int] = 224) -> list[ExitInfo]:
        """Channels, reduction and cumulative MACs of every exit at this image size (H, W).

        Raises:
            ExeuntError: when there is no formula for an operator that runs.
        """
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        weight = next(self.parameters())
        state: State = self.begin(weight.new_zeros(1, self.in_chans, height, width))
        infos: list[ExitInfo] = []
        macs = 0
        for k, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            with evaluating(stage), counting_macs(stage, f"stages.{k}") as count:
                _, state = self.step(k, state)
            if count.uncounted:
                raise ExeuntError(
                    f"no MAC formula for {', '.join(count.uncounted)}; give the module a rule in "
                    "exeunt.ops.macs.HANDLERS, or the operator one in FORMULAS"
                )
            macs += count.total
            feature = stage.feature(*state)
            reduction = -(-height // feature.shape[2])
            infos.append(ExitInfo(k, f"stages.{k}.exit", feature.shape[1], reduction, macs))
        return infos

    def keep(self, exits: int) -> None:
        """Leaves out all stages after the first `exits`: the last of these ends the network.

        Raises:
            ExeuntError: when there are not so many.
        """
        if not isinstance(exits, int) or not 1 <= exits <= self.num_exits:
            raise ExeuntError(f"keep={exits!r}; the network has exits 1 to {self.num_exits}")
        self.stages = self.stages[:exits]
        if self.origin is not None:
            self.origin = self.origin[0], self.origin[1] | {"keep": exits}

    def reset_exits(self, num_classes: int) -> None:
        """Gives every exit a fresh classifier with `num_classes` outputs.

        Raises:
            ExeuntError: when num_classes is below 1, or an exit has no `reset_classifier`.
        """
        if num_classes < 1:
            raise ExeuntError(f"num_classes={num_classes!r}; give a whole number of at least 1")
        heads = [stage.get_submodule("exit") for stage in self.stages]
        for k, head in enumerate(heads):
            if not callable(getattr(head, "reset_classifier", None)):
                raise ExeuntError(
                    f"stages.{k}.exit ({type(head).__name__}) has no reset_classifier(num_classes)"
                )
        for head in heads:
            head.reset_classifier(num_classes)  # type: ignore[operator]
        self.num_classes = num_classes
        if self.origin is not None:
            self.origin = self.origin[0], self.origin[1] | {"num_classes": num_classes}


def unwrapped(model: nn.Module) -> MultiExitNet:
    """The network inside what `torch.compile` or `DistributedDataParallel` made of it.

    Raises:
        ExeuntError: when there is none inside.
    """
    inner: Any = model
    while not isinstance(inner, MultiExitNet):
        parts = dict(inner.named_children()) if isinstance(inner, nn.Module) else {}
        if "_orig_mod" in parts:
            inner = parts["_orig_mod"]
        elif hasattr(inner, "num_exits"):
            break  # it will do for one
        elif "module" in parts:
            inner = parts["module"]
        else:
            raise ExeuntError(
                f"a {type(model).__name__} is no network with exits; `create_model` or "
                "`attach_exits` makes one"
            )
    found: MultiExitNet = inner
    return found
