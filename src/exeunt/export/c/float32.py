"""Networks in float32, for the runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from exeunt.data import Transform
from exeunt.export.c.kernel import Kernel
from exeunt.export.c.kernels_f32 import kernel_of
from exeunt.export.c.numbers import Expected, Numbers, level_fields, thresholds, within
from exeunt.export.c.source import CSource, float_texts
from exeunt.graph.graph import Graph, Node
from exeunt.graph.interpret import interpret
from exeunt.graph.streamed import StreamedPlan
from exeunt.policies import Conditions, Policy

TOLERANCE = 1e-4
"""How far scores may be from those that PyTorch finds, in parts of the largest."""

NEVER = 2.0
"""A probability that none reaches."""

_MOST = 3.4e38
"""What float32 holds."""


@dataclass(frozen=True)
class Float32(Numbers):
    """A net as it was planned, with the weights of its graph.

    Attributes:
        leaving: the policy.
    """

    leaving: Policy

    dtype = "float32"
    element_bytes = 4
    header = "exn_f32.h"
    files = (
        "exn_f32.h",
        "exn_floats.h",
        "exn_vector_f32.h",
        "exn_exp_f32.h",
        "exn_filter_f32.h",
        "exn_input_f32.c",
        "exn_judge_f32.c",
        "exn_agrees_f32.c",
        "exn_certain_f32.c",
    )
    beside: ClassVar[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
        ("exn_product_f32", "exn_sum_f32"), ("exn_walk.h",)
    )
    read_row = "exn_read_row_f32"
    judge = "exn_judge_f32"
    score_type = "float"
    score_format = "%.9g"
    score_shown_as = "double"

    def kernel(self, node: Node, plan: StreamedPlan, source: CSource, number: int) -> Kernel:
        return kernel_of(node, plan, source, number)

    def input(self, transform: Transform, graph: Graph, source: CSource) -> str:
        fields = {
            "means": source.array("float", "means", float_texts(transform.mean)),
            "deviations": source.array("float", "deviations", float_texts(transform.std)),
        }
        return source.struct("exn_input_f32", "input", fields)

    def policy(self, exits: int, source: CSource) -> dict[str, str | int]:
        asked = Conditions.of(self.leaving, exits)
        if asked.eta is not None:
            (eta,) = float_texts([min(asked.eta, _MOST)])
            tolerance = {"eta": eta}
            return within(asked.patience, "exn_agrees_f32", "exn_tolerance_f32", tolerance, source)
        if not asked.thresholds:
            return {"thresholds": "NULL", "patience": asked.patience}
        fields = {
            "confidence": _spelt(asked.thresholds.get("confidence")),
            "margin": _spelt(asked.thresholds.get("margin")),
            "temperatures": _spelt(asked.temperatures),
            "perplexity": _spelt(perplexities(asked.thresholds.get("entropy"))),
        }
        named = thresholds("exn_policy_f32", "float", fields, source)
        return level_fields(named, asked.patience, fields["perplexity"] and "exn_certain_f32")

    def score_scales(self, graph: Graph) -> list[float]:
        return [1.0] * len(graph.stages)

    def expected(self, graph: Graph, image: Tensor) -> Expected:
        scores = [mine[0].tolist() for mine in interpret(graph, image)]
        largest = max(abs(score) for mine in scores for score in mine)
        (tolerance,) = float_texts([TOLERANCE * largest])
        return Expected([float_texts(mine) for mine in scores], tolerance)


def perplexities(nats: Sequence[float] | None) -> list[float] | None:
    """exp of each entropy; 0, which none has, for never."""
    if nats is None:
        return None
    return [0.0 if v < 0 else math.exp(min(v, math.log(_MOST))) for v in nats]


def _spelt(values: Sequence[float] | None) -> list[str] | None:
    if values is None:
        return None
    return float_texts(NEVER if v == math.inf else v for v in values)
