"""Networks in int8, for the runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from exeunt.data import Transform
from exeunt.export.c.kernel import Kernel
from exeunt.export.c.kernels_s8 import kernel_of
from exeunt.export.c.numbers import Expected, Numbers, level_fields, thresholds, within
from exeunt.export.c.source import CSource
from exeunt.graph.graph import Graph, Node
from exeunt.graph.streamed import StreamedPlan
from exeunt.quantize.graph import QuantizedGraph, run_quantized
from exeunt.quantize.policy import IntegerPolicy


@dataclass(frozen=True)
class Int8(Numbers):
    """A quantised net.

    Attributes:
        quantized: of the graph that was planned, before it was fused.
        leaving: the policy, over integer scores.
    """

    quantized: QuantizedGraph
    leaving: IntegerPolicy

    dtype = "int8"
    element_bytes = 1
    header = "exn_s8.h"
    files = (
        "exn_s8.h",
        "exn_integers.h",
        "exn_plain.h",
        "exn_vector.h",
        "exn_x86.h",
        "exn_dsp.h",
        "exn_input_s8.c",
        "exn_judge_s8.c",
        "exn_agrees_s8.c",
        "exn_certain_s8.c",
        "exn_halving.h",
        "exn_halving.c",
    )
    beside: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys(("exn_product_s8", "exn_sum_s8"), ("exn_walk.h",)),
        "exn_conv_s8": ("exn_mix_s8.c",),
        "exn_depthwise_s8": ("exn_filter_s8.h", "exn_filter_s8.c"),
        "exn_gathered_conv_s8": ("exn_mix_s8.c",),
        "exn_residual_s8": (
            *("exn_filter_s8.h", "exn_filter_s8.c", "exn_mix_s8.c"),
            *("exn_residual_s8.h", "exn_roomy_s8.c"),
        ),
        **dict.fromkeys(
            ("exn_rex_s8", "exn_renet_s8"),
            (
                "exn_cells_s8.h",
                "exn_units_s8.h",
                "exn_units_x86.h",
                "exn_units_neon.h",
                "exn_tanh.h",
                "exn_tanh.c",
            ),
        ),
    }
    read_row = "exn_read_row_s8"
    judge = "exn_judge_s8"
    score_type = "int16_t"
    score_format = "%d"
    score_shown_as = "int"

    def kernel(self, node: Node, plan: StreamedPlan, source: CSource, number: int) -> Kernel:
        return kernel_of(node, self.quantized, plan, source, number)

    def input(self, transform: Transform, graph: Graph, source: CSource) -> str:
        """The number of each byte, by channel."""
        every = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
        every = np.repeat(every, graph.shapes[graph.image][0], 2)
        scale = self.quantized.scales[graph.image]
        found = scale.quantized(transform.normalise_pixels(every))[:, 0]
        rows = ("{" + ", ".join(map(str, channel)) + "}" for channel in found.tolist())
        table = source.array("exn_byte_table", "bytes", rows)
        return source.struct("exn_input_s8", "input", {"table": table})

    def policy(self, exits: int, source: CSource) -> dict[str, str | int]:
        asked = self.leaving
        if asked.worths is not None:
            worths = source.array("uint32_t", "worths", _spelt(asked.worths) or ())
            fields = {"worths": worths, "eta": f"INT64_C({asked.tolerance})"}
            return within(asked.patience, "exn_agrees_s8", "exn_tolerance_s8", fields, source)
        if asked.softness is None:
            return {"thresholds": "NULL", "patience": asked.patience}
        spelt = {
            "confidence": _spelt(asked.confidence),
            "margin": _spelt(asked.margin),
            "softness": _spelt(asked.softness),
            "perplexity": _spelt(asked.perplexity),
        }
        named = thresholds("exn_policy_s8", "uint32_t", spelt, source)
        return level_fields(named, asked.patience, asked.perplexity and "exn_certain_s8")

    def score_scales(self, graph: Graph) -> list[float]:
        return [self.quantized.logit_scale(k).scale for k in range(len(graph.stages))]

    def expected(self, graph: Graph, image: Tensor) -> Expected:
        scores = run_quantized(self.quantized, image)
        return Expected([list(map(str, s[0].tolist())) for s in scores], "0")


def _spelt(values: Sequence[int] | None) -> list[str] | None:
    return None if values is None else [f"{value}u" for value in values]
