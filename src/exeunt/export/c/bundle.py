"""What an exported folder holds for Python: the same network, to compare with."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from exeunt.data import Transform
from exeunt.documents import fields_of, naming
from exeunt.errors import ExeuntError
from exeunt.evaluate import weights_fingerprint
from exeunt.export.c.report import FILE, WEIGHTS, ExportReport
from exeunt.graph import Graph, build_graph
from exeunt.models import WeightsInfo, load_weights
from exeunt.net import MultiExitNet
from exeunt.policies import parse_policy
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
        with naming(folder / FILE):
            transform = Transform.from_dict(report.transform)
            graph = build_graph(net, transform.image_size)
            _refuse_misfit(report, net, info, graph)
            quantized, policy = None, None
            if report.dtype == "int8":
                quantized, policy = _integers(report, graph)
        return cls(folder, report, net, info, transform, quantized, policy)

    def scores(self, images: Tensor) -> list[Tensor]:
        """What Python finds for images (N, C, H, W): E tensors (N, K), integers for int8."""
        if self.quantized is None:
            return list(self.net(images))
        return run_quantized(self.quantized, images)


def _refuse_misfit(
    report: ExportReport, net: MultiExitNet, info: WeightsInfo, graph: Graph
) -> None:
    """Refuses a report that is not of these weights.

    Raises:
        ExeuntError: naming what differs first, and both values.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", report.name):
        raise ExeuntError(f"name {report.name!r} is no prefix of names in C")
    pairs: dict[str, tuple[Any, Any]] = {
        "fingerprint": (report.fingerprint, weights_fingerprint(net)),
        "class_names": (report.class_names, tuple(info.class_names)),
        "image_shape": (report.image_shape, graph.shapes[graph.image]),
        "exits": (len(report.exit_macs), len(graph.exit_macs)),
    }
    if report.plain_exit_macs:
        pairs["plain_exit_macs"] = report.plain_exit_macs, tuple(graph.exit_macs)
    for name, (said, found) in pairs.items():
        if said != found:
            raise ExeuntError(f"{name} is {said}, but the weights in {WEIGHTS} have {found}")
    plain, said = list(graph.exit_macs), list(report.exit_macs)
    again = [mine - one for mine, one in zip(said, plain, strict=True)]
    if min(again) < 0 or again[-1] != report.recomputed_macs:
        raise ExeuntError(
            f"exit_macs is {said}, of which {report.recomputed_macs} are done again, but the "
            f"weights in {WEIGHTS} have {plain}"
        )


def _integers(report: ExportReport, graph: Graph) -> tuple[QuantizedGraph, IntegerPolicy]:
    """The network in integers, and when to leave.

    Raises:
        ExeuntError: when ranges are missing, or the policy's integers are not those of its spec.
    """
    if missing := sorted(set(graph.shapes) - set(report.ranges)):
        raise ExeuntError(f"no range for {missing[0]}")
    if turned := [name for name, (low, high) in report.ranges.items() if low > high]:
        raise ExeuntError(f"the range of {turned[0]} ends before it begins")
    quantized = quantize(graph, {name: Range(*ends) for name, ends in report.ranges.items()})
    scales = [quantized.logit_scale(k) for k in range(len(graph.stages))]
    policy = IntegerPolicy.of(parse_policy(report.policy), scales)
    said = fields_of(IntegerPolicy, report.integer_policy, FILE)
    if said != asdict(policy):
        raise ExeuntError(f"integer_policy is not {report.policy!r} in integers")
    return quantized, policy
