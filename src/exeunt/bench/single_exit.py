"""A network without its early exits: what people use who have never heard of any."""

from __future__ import annotations

from torch import Tensor, nn

from exeunt.collaboration import CollaborativeStage
from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet, Stage, State


class _Trunks(nn.Module):
    """The trunks of all stages, one after the other."""

    def __init__(self, stages: list[Stage]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(stage.get_submodule("trunk") for stage in stages)
        self._stages = stages  # not registered: their exits are not wanted

    def forward(self, *state: Tensor) -> State:
        for stage in self._stages:
            state = stage.advance(*state)
        return state


class _Plain(Stage):
    def __init__(self, stages: list[Stage]) -> None:
        super().__init__(_Trunks(stages), stages[-1].get_submodule("exit"))
        self._last = [stages[-1]]

    def feature(self, *state: Tensor) -> Tensor:
        return self._last[0].feature(*state)


def plain(net: MultiExitNet) -> MultiExitNet:
    """The same weights with the last exit alone, as one stage.

    Raises:
        ExeuntError: when exits read the logits before them, so that none can be left out.
    """
    stages = [stage for stage in net.stages if isinstance(stage, Stage)]
    if any(isinstance(stage, CollaborativeStage) for stage in stages):
        raise ExeuntError("its exits read the logits before them; it has no plain form")
    return MultiExitNet([_Plain(stages)], net.num_classes, net.in_chans).train(net.training)
