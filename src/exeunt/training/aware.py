"""Training for int8: the net learns as int8 will have it, and is judged in integers.

Ranges are found anew before every epoch, for the weights as they are then, on calibration images,
as `exeunt export` finds them afterwards. What is trained and stored are ordinary float32 weights.
"""

from __future__ import annotations

import copy

from exeunt.graph import build_graph
from exeunt.net import MultiExitNet
from exeunt.quantize import (
    QuantizationAware,
    QuantizedNet,
    observe_ranges,
    quantize,
    range_images,
)
from exeunt.training.plan import Plan


class Aware:
    """What of a run knows about int8.

    Args:
        plan: of the run.
        net: that learns.

    Raises:
        ExeuntError: when the net cannot be lowered.
    """

    def __init__(self, plan: Plan, net: MultiExitNet) -> None:
        self.processes = plan.execution.processes
        self.size = plan.transform.image_size
        self.net = QuantizationAware(net, self.size)
        self.images = range_images(
            plan.splits.calibration, plan.transform, plan.spec.seed, plan.config.batch_size
        )

    def as_it_is_now(self) -> QuantizationAware:
        """The net that learns, with scales for its present weights.

        Raises:
            ExeuntError: when it has no integer form, naming the module.
        """
        here = [images.to(self.processes.device) for images in self.images]
        self.net.cover(self.processes.led(lambda: self.net.ranges(here)))
        return self.net

    def in_integers(self, net: MultiExitNet) -> QuantizedNet:
        """A net in int8, on the CPU."""
        graph = build_graph(copy.deepcopy(net).cpu(), self.size)
        ranges = self.processes.led(lambda: observe_ranges(graph, self.images))
        return QuantizedNet(quantize(graph, ranges))
