"""The units in which values are learnt, so that a learning rate suits metres and millimetres."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from exeunt.data import Sample
from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet


@dataclass(frozen=True)
class Units:
    """`value = mean + std * learnt`. Classes have no units: mean 0 and std 1 change nothing."""

    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Units:
        """Those in which the values of `samples` have mean 0 and deviation 1.

        Raises:
            ExeuntError: when all values are the same.
        """
        if isinstance(samples[0].target, int):
            return cls()
        values = [sample.target for sample in samples]
        mean = math.fsum(values) / len(values)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        if std == 0:
            raise ExeuntError(f"all {len(values)} values to learn are {mean}; they must differ")
        return cls(mean, std)

    def learnt(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The samples with targets in these units."""
        if self == Units():
            return samples
        return [replace(s, target=(s.target - self.mean) / self.std) for s in samples]

    def restored(self, net: MultiExitNet) -> MultiExitNet:
        """The network with exits that say values; a copy, or `net` itself where nothing changes.

        Raises:
            ExeuntError: when an exit has no `rescale`.
        """
        if self == Units():
            return net
        net = copy.deepcopy(net)
        for k, stage in enumerate(net.stages):
            head = stage.get_submodule("exit")
            if not callable(getattr(head, "rescale", None)):
                raise ExeuntError(f"stages.{k}.exit ({type(head).__name__}) has no rescale")
            head.rescale(self.std, self.mean)  # type: ignore[operator]
        return net
