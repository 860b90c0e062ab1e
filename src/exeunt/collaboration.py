"""Exits that read the logits of the exit before: inline subnetwork collaboration (Li et al. 2019).

    net = create_model("msdnet_cifar10", collaborative=True)

Each exit but the first classifies its own reduced feature beside what a small layer makes of the
earlier logits, which travel at the end of the state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet, Stage, State
from exeunt.ops.exits import ExitHead, make_linear


class CollaborativeExit(nn.Module):
    """An exit head that is also given the logits of the exit before.

    Args:
        head: reduces the feature to d values; its classifier is not used any more.
        num_classes: K of both exits.
    """

    def __init__(self, head: ExitHead, num_classes: int) -> None:
        super().__init__()
        features = head.classifier.in_features
        head.classifier = nn.Identity()  # type: ignore[assignment]
        self.head = head
        self.read = nn.Linear(num_classes, features)
        self.norm = nn.BatchNorm1d(features)
        self.classifier = make_linear(2 * features, num_classes)

    def forward(self, x: Tensor, earlier: Tensor) -> Tensor:
        """Maps a feature (N, C, H, W) and logits (N, K) to logits (N, K)."""
        told = self.norm(self.read(earlier)).relu()
        logits: Tensor = self.classifier(torch.cat((self.head(x), told), 1))
        return logits

    def reset_classifier(self, num_classes: int) -> None:
        """Replaces both layers that know the classes by fresh ones for `num_classes`."""
        old = self.classifier
        self.classifier = make_linear(old.in_features, num_classes).to(old.weight)
        self.read = nn.Linear(num_classes, self.read.out_features).to(old.weight)

    @torch.no_grad()
    def rescale(self, scale: float, shift: float) -> None:
        """Makes every output `scale * output + shift`, and expects the same of what it reads."""
        self.classifier.weight.mul_(scale)
        self.classifier.bias.mul_(scale).add_(shift)
        self.read.weight.div_(scale)
        self.read.bias.sub_(shift * self.read.weight.sum(1))


class CollaborativeStage(Stage):
    """A stage whose state ends in the logits of its exit.

    Args:
        trunk: as in `Stage`.
        exit: a `CollaborativeExit`, but in the first stage an ordinary one.
        first: whether no exit comes before.
    """

    def __init__(self, trunk: nn.Module, exit: nn.Module, first: bool) -> None:
        super().__init__(trunk, exit)
        self.first = first

    def advance(self, *state: Tensor) -> State:
        if self.first:
            return super().advance(*state)
        return *super().advance(*state[:-1]), state[-1]

    def feature(self, *state: Tensor) -> Tensor:
        return super().feature(*state[:-1])

    def forward(self, *state: Tensor) -> tuple[Tensor, ...]:
        moved = self.advance(*state)
        inner, earlier = (moved, ()) if self.first else (moved[:-1], moved[-1:])
        logits = self.exit(super().feature(*inner), *earlier)
        return logits, *inner, logits


def collaborate(net: MultiExitNet) -> MultiExitNet:
    """Lets every exit of `net` but the first read the logits before; takes its modules over.

    Raises:
        ExeuntError: when an exit is no `ExitHead`, or a stage is a `Stage` of another kind.
    """
    stages = []
    for k, stage in enumerate(net.stages):
        head = stage.get_submodule("exit")
        if type(stage) is not Stage or not isinstance(head, ExitHead):
            raise ExeuntError(
                f"collaborate: stages.{k} is a {type(stage).__name__} with an exit of type "
                f"{type(head).__name__}; it must be a plain Stage with an ExitHead"
            )
        exit = CollaborativeExit(head, net.num_classes) if k else head
        stages.append(CollaborativeStage(stage.get_submodule("trunk"), exit, first=k == 0))
    return MultiExitNet(stages, net.num_classes, net.in_chans)
