"""Ways to train a net with several exits: what learns in an epoch, and how losses become one.

The loop asks its regime before every epoch and after every forward pass; nothing else in it depends
on the regime.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, overload

import torch
from numpy.typing import NDArray
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.models import find_weights, load_weights
from exeunt.net import MultiExitNet
from exeunt.registry import registering
from exeunt.training.config import TrainConfig
from exeunt.training.losses import depth_weighted
from exeunt.training.mixing import Targets
from exeunt.training.objects import missing_object
from exeunt.training.registered import REGIMES
from exeunt.training.teacher import divergence, some_of

Maker = TypeVar("Maker", bound=Callable[..., "Regime"])


@dataclass(frozen=True)
class Pass:
    """One forward pass of a batch.

    Attributes:
        images: (N, C, H, W), augmented, normalised and perhaps mixed.
        logits: E tensors (N, K); for values (N, 1).
        losses: (E,), the settings' own: cross-entropy with label smoothing, class weights and the
            teacher's share, or squared error.
        epoch: the one it is in, from 0.
        targets: what the images show.
    """

    images: Tensor
    logits: Sequence[Tensor]
    losses: Tensor
    epoch: int
    targets: Targets

    def exit_losses(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The losses of all exits by another function, in place of `losses`; (E,).

        Args:
            loss: of float32 logits (N, K) and targets (N,), in this order; a scalar. It is asked
                for both targets of images that are mixed, and weighted by their shares.
        """
        return torch.stack([self.targets.weigh(partial(loss, y.float())) for y in self.logits])


class Regime(ABC):
    """What the loop asks; by default everything learns all the time.

    A regime of your own says at least what to descend, and is handed to `exeunt.train(...,
    regime=Mine)`, which makes it with the arguments below. It keeps no state between epochs but
    what follows from them, so that a run can be resumed.

    Args:
        config: of the run.
        exit_macs: cumulative multiply-adds of the E exits.
        class_names: K of them, none for regression.
    """

    def __init__(
        self, config: TrainConfig, exit_macs: Sequence[int], class_names: Sequence[str] = ()
    ) -> None:
        self.epochs = config.epochs
        self.exit_macs = exit_macs

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        """Lets those parts of `net` learn that do so in `epoch` (0-based), and no others."""
        net.train().requires_grad_(True)

    @abstractmethod
    def loss(self, seen: Pass) -> Tensor:
        """What to descend."""

    def span(self, epoch: int) -> tuple[int, int]:
        """The epochs, from and up to, over which the learning rate rises and falls once."""
        return 0, self.epochs

    def complete(self, epoch: int) -> bool:
        """Whether all exits have learnt by the end of `epoch`; else its weights are not kept as the
        best, however good the last exit is.
        """
        return True

    def columns(self, summed: Callable[[NDArray[Any]], NDArray[Any]]) -> dict[str, Any]:
        """Columns of `metrics.csv` besides, about the epoch that has just ended.

        Args:
            summed: adds up what every process has.

        Returns:
            Numbers, or lists of them, by name.
        """
        return {}


@overload
def register_regime(maker: Maker, *, name: str | None = None) -> Maker: ...
@overload
def register_regime(maker: None = None, *, name: str | None = None) -> Callable[[Maker], Maker]: ...
def register_regime(maker: Any = None, *, name: str | None = None) -> Any:
    """Makes a regime known under its class's or function's name, or under `name`, to recipes and
    `exeunt train --regime`. Usable as a decorator.

    It is called as `maker(config, exit_macs, class_names)` and returns a `Regime`.
    `exeunt.check_regime` tests it.

    Raises:
        ExeuntError: when the name is taken or is none.
    """
    return registering(REGIMES, maker, name)


@register_regime(name="joint")
class Joint(Regime):
    """Everything learns at once, later exits count more (ReX paper, equation 12)."""

    def loss(self, seen: Pass) -> Tensor:
        return depth_weighted(seen.losses)


@register_regime(name="mixed")
class Mixed(Regime):
    """The trunks and the last exit learn first, as a network of one exit; then everything, jointly
    (the "mixed" regime of Kubaty et al., "Joint or Disjoint", arXiv 2407.14320).

    The first `mixed_share` of the epochs, rounded, are of the first phase. In each phase the
    learning rate rises and falls once; there it is trained to the end, here by its share of epochs.

    Raises:
        ExeuntError: when a phase has no epoch.
    """

    def __init__(
        self, config: TrainConfig, exit_macs: Sequence[int], class_names: Sequence[str] = ()
    ) -> None:
        super().__init__(config, exit_macs, class_names)
        self.turn = round(config.mixed_share * self.epochs)
        if not 0 < self.turn < self.epochs:
            raise ExeuntError(
                f"regime 'mixed': mixed_share={config.mixed_share!r} of epochs={self.epochs} are "
                f"{self.turn}; both phases need at least one"
            )

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        super().prepare(net, epoch)
        if epoch < self.turn:
            for stage in net.stages[:-1]:
                stage.get_submodule("exit").eval().requires_grad_(False)

    def loss(self, seen: Pass) -> Tensor:
        return seen.losses[-1] if seen.epoch < self.turn else depth_weighted(seen.losses)

    def span(self, epoch: int) -> tuple[int, int]:
        return (0, self.turn) if epoch < self.turn else (self.turn, self.epochs)

    def complete(self, epoch: int) -> bool:
        return epoch >= self.turn


@register_regime(name="shallow_deep")
class ShallowDeep(Regime):
    """Everything learns, early exits more and more (shallow-deep networks, Kaya et al. 2019).

    `CE_E + sum_i tau_i CE_i` over the internal exits i, with `tau_i = min(C_i, 0.01 + C_i t / T)`
    in epoch t = 1..T. C_i is the exit's share of the net's multiply-adds, which is what the paper's
    0.15, 0.30, ... 0.90 stand for where exits are placed by its rule.
    """

    def loss(self, seen: Pass) -> Tensor:
        shares = [macs / self.exit_macs[-1] for macs in self.exit_macs[:-1]]
        done = (seen.epoch + 1) / self.epochs
        weights = seen.losses.new_tensor([*(min(c, 0.01 + c * done) for c in shares), 1.0])
        return (weights * seen.losses).sum()


@register_regime(name="exits")
class ExitsOnly(Regime):
    """The trunks stay as they are, with the statistics of their batch norms; only exits learn.

    The losses are added up, as shallow-deep networks do with a backbone that is trained already.
    There the last exit belongs to the backbone and stays as it is; here it learns with the others.
    """

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        net.eval().requires_grad_(False)
        for stage in net.stages:
            stage.get_submodule("exit").train().requires_grad_(True)

    def loss(self, seen: Pass) -> Tensor:
        return seen.losses.sum()


@register_regime(name="successive")
class Successive(Regime):
    """One stage after the other, which the ReX paper calls straightforward and argues against.

    Every stage, its trunk and its exit, gets an equal share of the epochs, with a learning rate
    that rises and falls anew.

    Raises:
        ExeuntError: when there are fewer epochs than stages.
    """

    def __init__(
        self, config: TrainConfig, exit_macs: Sequence[int], class_names: Sequence[str] = ()
    ) -> None:
        super().__init__(config, exit_macs, class_names)
        stages = len(exit_macs)
        if self.epochs < stages:
            raise ExeuntError(
                f"regime 'successive' trains {stages} stages one after the other; give epochs of "
                f"at least {stages}, not {self.epochs}"
            )
        self.starts = [round(k * self.epochs / stages) for k in range(stages + 1)]

    def stage(self, epoch: int) -> int:
        """The stage that learns in `epoch` (0-based)."""
        return max(k for k, start in enumerate(self.starts) if start <= epoch)

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        net.eval().requires_grad_(False)
        net.stages[self.stage(epoch)].train().requires_grad_(True)

    def loss(self, seen: Pass) -> Tensor:
        return seen.losses[self.stage(seen.epoch)]

    def span(self, epoch: int) -> tuple[int, int]:
        k = self.stage(epoch)
        return self.starts[k], self.starts[k + 1]


@register_regime(name="distilled")
class Distilled(ExitsOnly):
    """Only exits learn, from the labels and from the last exit of the net they began with: one for
    all, the second stage of IMTA (Li et al. 2019). There all classifiers are new; here they go on
    from those of the weights.

    `CE_E + sum_i (1 - g) CE_i + g T^2 KL(softmax(t / T) || softmax(y_i / T))` over the internal
    exits i, with the teacher's logits t, `g = distil_share` and `T = distil_temperature`. KL is the
    mean over the batch (the published code divides by the number of classes too).

    Raises:
        ExeuntError: when the run begins with no weights, or these know other classes.
    """

    def __init__(
        self, config: TrainConfig, exit_macs: Sequence[int], class_names: Sequence[str] = ()
    ) -> None:
        super().__init__(config, exit_macs, class_names)
        if config.init is None:
            raise ExeuntError(
                "regime 'distilled' needs init: the last exit of those weights is the teacher"
            )
        self.teacher, info = load_weights(find_weights(config.init))
        if not class_names or info.class_names != [*class_names]:
            raise ExeuntError(
                f"regime 'distilled': the teacher, {config.init}, knows the classes "
                f"{some_of(info.class_names)}; those of the images are {some_of(class_names)}"
            )
        self.share, self.temperature = config.distil_share, config.distil_temperature

    @torch.no_grad()
    def taught(self, images: Tensor) -> Tensor:
        """The teacher's logits, (N, K)."""
        logits: Tensor = self.teacher.to(images.device)(images)[-1].float()
        return logits

    def loss(self, seen: Pass) -> Tensor:
        taught = self.taught(seen.images)
        total = seen.losses[-1] + (1 - self.share) * seen.losses[:-1].sum()
        for logits in seen.logits[:-1]:
            total = total + self.share * divergence(taught, logits, self.temperature)
        return total


def make_regime(
    config: TrainConfig,
    exit_macs: Sequence[int],
    class_names: Sequence[str],
    given: Callable[[TrainConfig, Sequence[int], Sequence[str]], Regime] | None = None,
) -> Regime:
    """The regime of a run: what `given` makes, or the one of the config's name.

    Raises:
        ExeuntError: when a regime is named that was not given, something else than a `Regime` was
            made, or the weights of no epoch would be kept.
    """
    if given is None and config.regime not in REGIMES:
        raise missing_object("regime", config.regime)
    regime = (given or REGIMES[config.regime])(config, exit_macs, class_names)
    if not isinstance(regime, Regime):
        raise ExeuntError(
            f"regime={config.regime!r} gave a {type(regime).__name__}; give a subclass of "
            "exeunt.training.Regime"
        )
    if not any(regime.complete(epoch) for epoch in range(config.epochs)):
        raise ExeuntError(
            f"regime={config.regime!r} completes none of {config.epochs} epochs, so that there "
            "would be no weights to keep; its complete(epoch) must be true of one"
        )
    return regime
