"""Ways to train a net with several exits: what learns in an epoch, and how losses become one.

The loop asks its regime before every epoch and after every forward pass; nothing else in it depends
on the regime.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet
from exeunt.train.losses import depth_weighted


class Regime(ABC):
    """What the loop asks; by default everything learns all the time.

    Args:
        epochs: of the run.
        exit_macs: cumulative multiply-adds of the E exits.
    """

    def __init__(self, epochs: int, exit_macs: Sequence[int]) -> None:
        self.epochs = epochs
        self.exit_macs = exit_macs

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        """Lets those parts of `net` learn that do so in `epoch` (0-based), and no others."""
        net.train().requires_grad_(True)

    @abstractmethod
    def loss(self, losses: Tensor, epoch: int) -> Tensor:
        """What to descend, from the loss of every exit, (E,)."""

    def span(self, epoch: int) -> tuple[int, int]:
        """The epochs, from and up to, over which the learning rate rises and falls once."""
        return 0, self.epochs


class Joint(Regime):
    """Everything learns at once, later exits count more (ReX paper, equation 12)."""

    def loss(self, losses: Tensor, epoch: int) -> Tensor:
        return depth_weighted(losses)


class ShallowDeep(Regime):
    """Everything learns, early exits more and more (shallow-deep networks, Kaya et al. 2019).

    `CE_E + sum_i tau_i CE_i` over the internal exits i, with `tau_i = min(C_i, 0.01 + C_i t / T)`
    in epoch t = 1..T. C_i is the exit's share of the net's multiply-adds, which is what the paper's
    0.15, 0.30, ... 0.90 stand for where exits are placed by its rule.
    """

    def loss(self, losses: Tensor, epoch: int) -> Tensor:
        shares = [macs / self.exit_macs[-1] for macs in self.exit_macs[:-1]]
        done = (epoch + 1) / self.epochs
        weights = losses.new_tensor([*(min(c, 0.01 + c * done) for c in shares), 1.0])
        return (weights * losses).sum()


class ExitsOnly(Regime):
    """The trunks stay as they are, with the statistics of their batch norms; only exits learn.

    The losses are added up, as shallow-deep networks do with a backbone that is trained already.
    """

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        net.eval().requires_grad_(False)
        for stage in net.stages:
            stage.get_submodule("exit").train().requires_grad_(True)

    def loss(self, losses: Tensor, epoch: int) -> Tensor:
        return losses.sum()


class Successive(Regime):
    """One stage after the other, which the ReX paper calls straightforward and argues against.

    Every stage, its trunk and its exit, gets an equal share of the epochs, with a learning rate
    that rises and falls anew.

    Raises:
        ExeuntError: when there are fewer epochs than stages.
    """

    def __init__(self, epochs: int, exit_macs: Sequence[int]) -> None:
        super().__init__(epochs, exit_macs)
        stages = len(exit_macs)
        if epochs < stages:
            raise ExeuntError(
                f"regime 'successive' trains {stages} stages one after the other; give epochs of "
                f"at least {stages}, not {epochs}"
            )
        self.starts = [round(k * epochs / stages) for k in range(stages + 1)]

    def stage(self, epoch: int) -> int:
        """The stage that learns in `epoch` (0-based)."""
        return max(k for k, start in enumerate(self.starts) if start <= epoch)

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        net.eval().requires_grad_(False)
        net.stages[self.stage(epoch)].train().requires_grad_(True)

    def loss(self, losses: Tensor, epoch: int) -> Tensor:
        return losses[self.stage(epoch)]

    def span(self, epoch: int) -> tuple[int, int]:
        k = self.stage(epoch)
        return self.starts[k], self.starts[k + 1]


REGIMES: dict[str, type[Regime]] = {
    "joint": Joint,
    "shallow_deep": ShallowDeep,
    "exits": ExitsOnly,
    "successive": Successive,
}
