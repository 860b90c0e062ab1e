"""What an exported folder holds for Python: the same network, to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c.report import WEIGHTS, ExportReport
from exeunt.graph import build_graph
from exeunt.models import WeightsInfo, load_weights
from exeunt.net import MultiExitNet
from exeunt.quantize import QuantizedGraph, Range, quantize, run_quantized
from exeunt.quantize.policy import IntegerPolicy


@dataclass(frozen=True)
class Bundle:
    """An exported folder, read.

    Attributes:
        folder: where it lies.
        report: what it says of itself.
        net: the network in float32, in evaluation mode.
        info: metadata of its weights.
        transform: from a photograph to the input.
        quantized: the network in integers; None for float32.
        policy: over its scores; None for float32.
    """

    folder: Path
    report: ExportReport
    net: MultiExitNet
    info: WeightsInfo
    transform: Transform
    quantized: QuantizedGraph | None
    policy: IntegerPolicy | None

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Reads a folder of `exeunt export`.

        Raises:
            ExeuntError: when it is none, or its weights are not those that its C was made of.
        """
        folder = Path(folder)
        report = ExportReport.read(folder)
        net, info = load_weights(folder / WEIGHTS)
        transform = Transform.from_dict(report.transform)
        quantized, policy = None, None
        if report.dtype == "int8":
            graph = build_graph(net, transform.image_size)
            ranges = {name: Range(low, high) for name, (low, high) in report.ranges.items()}
            if missing := sorted(set(graph.shapes) - set(ranges)):
                raise ExeuntError(f"{folder}: report.json has no range for {missing[0]}")
            quantized = quantize(graph, ranges)
            policy = IntegerPolicy(**_tuples(report.integer_policy))
        return cls(folder, report, net, info, transform, quantized, policy)

    def scores(self, images: Tensor) -> list[Tensor]:
        """What Python finds for images (N, C, H, W): E tensors (N, K), integers for int8."""
        if self.quantized is None:
            return list(self.net(images))
        return run_quantized(self.quantized, images)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
