"""Exit heads: what turns a feature map (N, C, H, W) into logits (N, K).

A head reduces the map to a vector and applies one linear layer, `classifier`. Every head takes any
map size and offers `reset_classifier(num_classes)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.rex import ReX2d
from exeunt.registry import Registry, registering

Maker = TypeVar("Maker", bound=Callable[..., nn.Module])


def make_linear(features: int, num_classes: int) -> nn.Linear:
    """A fresh classifier: weights N(0, 0.01), biases 0."""
    linear = nn.Linear(features, num_classes)
    nn.init.normal_(linear.weight, 0, 0.01)
    nn.init.zeros_(linear.bias)
    return linear


class ExitHead(nn.Module):
    """Feature reduction, dropout, one linear layer. Subclasses say how to `reduce`.

    Args:
        features: length of the vector that `reduce` returns.
        num_classes: K; for regression the number of outputs.
        dropout: share of the vector dropped while training.
    """

    def __init__(self, features: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = make_linear(features, num_classes)

    def reduce(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, features)."""
        raise TypeError(f"{type(self).__name__} does not say how to reduce a map")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(self.reduce(x)))
        return logits

    def reset_classifier(self, num_classes: int) -> None:
        """Replaces the linear layer by a fresh one with `num_classes` outputs."""
        old = self.classifier
        self.classifier = make_linear(old.in_features, num_classes).to(old.weight)

    @torch.no_grad()
    def rescale(self, scale: float, shift: float) -> None:
        """Makes every output `scale * output + shift`, in the linear layer."""
        self.classifier.weight.mul_(scale)
        self.classifier.bias.mul_(scale).add_(shift)


class PooledExit(ExitHead):
    """Global average pooling and one linear layer: the default."""

    def __init__(self, channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__(channels, num_classes, dropout)

    def reduce(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class MixedPoolExit(ExitHead):
    """Shallow-deep networks' feature reduction (Kaya et al. 2019), for maps of any size.

    `alpha * max + (1 - alpha) * average` over a grid of `grid x grid` cells, alpha one free
    parameter that starts uniform in [0, 1). The cells are those of adaptive pooling, which are the
    paper's windows wherever the grid divides the map. At 1000 classes a head with the paper's grid
    of 4 holds `16 * C * 1000` weights.
    """

    def __init__(
        self, channels: int, num_classes: int, dropout: float = 0.0, grid: int = 4
    ) -> None:
        super().__init__(channels * grid**2, num_classes, dropout)
        self.grid = grid
        self.alpha = nn.Parameter(torch.rand(()))

    def reduce(self, x: Tensor) -> Tensor:
        largest = F.adaptive_max_pool2d(x, self.grid)
        average = F.adaptive_avg_pool2d(x, self.grid)
        return torch.lerp(average, largest, self.alpha).flatten(1)


class ReXExit(ExitHead):
    """ReX as the feature reduction (ReX paper, Architecture Design), then a global average.

    The paper gives no sizes for this use; the defaults are those of its early ReX layer (Table 1).
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        dropout: float = 0.0,
        hidden1: int = 16,
        hidden2: int = 8,
        patch_size: int = 6,
        stride: int = 4,
    ) -> None:
        super().__init__(8 * hidden2, num_classes, dropout)
        self.rex = ReX2d(channels, hidden1, hidden2, patch_size, stride)

    def reduce(self, x: Tensor) -> Tensor:
        summary: Tensor = self.rex(x)
        return summary.mean((2, 3))


class ConvExit(ExitHead):
    """MSDNet's and RANet's head: two 3x3 convolutions of stride 2, then a global average.

    The average is the papers' pooling wherever that fits (8x8 and 7x7 maps), and takes any size.

    Args:
        channels: C of the map.
        num_classes: K.
        dropout: before the classifier.
        width: channels of both convolutions; as many as the map has if None.
    """

    def __init__(
        self, channels: int, num_classes: int, dropout: float = 0.0, width: int | None = None
    ) -> None:
        width = channels if width is None else width
        super().__init__(width, num_classes, dropout)
        self.convs = nn.Sequential(
            ConvNormAct(channels, width, 3, stride=2, act=nn.ReLU),
            ConvNormAct(width, width, 3, stride=2, act=nn.ReLU),
        )

    def reduce(self, x: Tensor) -> Tensor:
        summary: Tensor = self.convs(x)
        return summary.mean((2, 3))


EXIT_HEADS: Registry[Callable[..., nn.Module]] = Registry("exit head")


@overload
def register_exit_head(maker: Maker, *, name: str | None = None) -> Maker: ...
@overload
def register_exit_head(
    maker: None = None, *, name: str | None = None
) -> Callable[[Maker], Maker]: ...
def register_exit_head(maker: Any = None, *, name: str | None = None) -> Any:
    """Makes an exit head known under its class's or function's name, or under `name`, so that
    `exit_head=` of the architectures takes it. Usable as a decorator.

    It is called as `maker(channels, num_classes, dropout)` and returns a module as `ExitHead`
    describes it. `exeunt.check_exit_head` tests it.

    Raises:
        ExeuntError: when the name is taken or is none.
    """
    return registering(EXIT_HEADS, maker, name)


for _name, _head in (
    *(("pooled", PooledExit), ("mixed", MixedPoolExit)),
    *(("rex", ReXExit), ("conv", ConvExit)),
):
    register_exit_head(_head, name=_name)


def make_exit(
    kind: str, channels: int, num_classes: int, dropout: float = 0.0, width: int | None = None
) -> nn.Module:
    """Builds the exit head named `kind`; `width` is for `ConvExit` alone.

    Raises:
        ExeuntError: when there is no head of that name, or it makes no module.
    """
    if kind == "conv":
        return ConvExit(channels, num_classes, dropout, width)
    head: object = EXIT_HEADS.find(kind)(channels, num_classes, dropout)
    if not isinstance(head, nn.Module):
        raise ExeuntError(f"exit head {kind!r} made {type(head).__name__}, not a module")
    return head


def exit_kinds(exit_head: str | Sequence[str], count: int, last: str | None = None) -> list[str]:
    """The kind of each of `count` exits.

    Args:
        exit_head: one kind for all exits, or one for each.
        count: E.
        last: the kind of the last exit, where `exit_head` is one for all.

    Raises:
        ExeuntError: when a kind is unknown, or there are more or fewer than `count`.
    """
    if isinstance(exit_head, str):
        EXIT_HEADS.find(exit_head)
        return [exit_head] * (count - 1) + [last or exit_head]
    kinds = [*exit_head]
    if len(kinds) != count:
        raise ExeuntError(f"exit_head: {len(kinds)} kinds for {count} exits; give one for each")
    for kind in kinds:
        EXIT_HEADS.find(kind)
    return kinds
