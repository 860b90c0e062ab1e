"""Networks in int8 on a random picture, for what hangs on neither weights nor pictures: memory,
multiply-adds, whether C says what Python says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exeunt.bench.workload import random_pixels, set_batch_statistics
from exeunt.data import Transform
from exeunt.graph import Graph, StreamedPlan, build_graph, plan_stream
from exeunt.net import MultiExitNet

if TYPE_CHECKING:
    from exeunt.export.c import ExitAnswer
    from exeunt.quantize import QuantizedGraph


def quantize_random(net: MultiExitNet, statistics: Tensor | None, ranges: Tensor) -> QuantizedGraph:
    """A network in int8; ranges reach from the least to the most of what is met.

    Args:
        net: of random weights, for instance.
        statistics: images (N, C, H, W) that its batch norms take theirs from; None to leave them.
        ranges: images (N, C, H, W).
    """
    from exeunt.quantize import observe_ranges, quantize

    if statistics is not None:
        set_batch_statistics(net, statistics)
    graph = build_graph(net, (ranges.shape[2], ranges.shape[3]))
    return quantize(graph, observe_ranges(graph, [ranges], "minmax"))


@dataclass(frozen=True, eq=False)
class RandomInt8:
    """A network in int8, whose ranges are those of one random picture, and its plan.

    Attributes:
        quantized: the network.
        plan: as C has it.
        transform: from a photograph to its input.
        picture: the one, (H, W, 3).
    """

    quantized: QuantizedGraph
    plan: StreamedPlan
    transform: Transform
    picture: NDArray[np.uint8]

    @classmethod
    def of(cls, net: MultiExitNet, pixels: int, *, trained: bool = False) -> RandomInt8:
        """Of a network for images of `pixels` by `pixels`; the batch norms of one that is not
        trained take their statistics from four images of noise.
        """
        noise = None if trained else torch.randn(4, 3, pixels, pixels)
        transform = Transform((pixels, pixels))
        picture = random_pixels(1, transform)[0]
        quantized = quantize_random(net, noise, transform.normalise_pixels(picture)[None])
        return cls(quantized, plan_stream(quantized.graph, 1), transform, picture)

    @property
    def graph(self) -> Graph:
        """The network, lowered."""
        return self.quantized.graph

    def write(self, title: str, folder: Path, picture: Path) -> dict[str, Any]:
        """Writes it as C, whose names begin with `net_`, and the picture's bytes; returns what
        `report.json` holds.
        """
        from exeunt.export.c import CModel, Int8, write_c
        from exeunt.quantize import IntegerPolicy

        classes = [str(k) for k in range(self.graph.elements(self.graph.stages[-1].logits))]
        numbers = Int8(self.quantized, IntegerPolicy())
        model = CModel("net", title, numbers, self.plan, self.transform, classes, {})
        picture.write_bytes(self.picture.tobytes())
        return write_c(model, folder)

    def check(self, answers: Iterable[ExitAnswer]) -> None:
        """Compares what C says of the picture.

        Raises:
            ExeuntError: when a score differs from Python's.
        """
        from exeunt.export.c import compare
        from exeunt.quantize import run_quantized

        scores = run_quantized(self.quantized, self.transform.normalise_pixels(self.picture)[None])
        compare(answers, scores, ["picture"], integers=True)
