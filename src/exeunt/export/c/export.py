"""From a trained network to a folder of C: ranges, integers, a policy, a plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.export.calibration import (
    CalibrationImages,
    PolicyOptions,
    choose_policy,
    needed_for_int8,
    on_calibration,
)
from exeunt.export.result import Export
from exeunt.text import short_spec

if TYPE_CHECKING:
    from exeunt.export.c import CModel, Numbers
    from exeunt.graph import Graph
    from exeunt.trained import TrainedModel


@dataclass(frozen=True)
class COptions:
    """How C is wanted.

    Attributes:
        dtype: `int8` or `float32`.
        ranges: how int8 covers a tensor.
        name: prefix of all names; None for the folder's.
        budget_kib: what the arena may take; None for no limit.
        layout: build system whose files the folder gets, or `all`.
    """

    dtype: str
    ranges: str
    name: str | None
    budget_kib: float | None
    layout: str = "all"


def export_c(
    model: str,
    trained: TrainedModel,
    images: CalibrationImages | None,
    wanted: PolicyOptions,
    asked: COptions,
    out: Path,
) -> Export:
    """Writes the folder."""
    from exeunt.export.c import check_prefix, owned_files, prefix_of, write_c
    from exeunt.export.c.layouts import check_layout
    from exeunt.folders import check_folder

    check_folder(out, owned_files)
    check_layout(asked.layout)
    name = asked.name or prefix_of(out.resolve().name)
    check_prefix(name)
    with trained.as_file() as weights:  # which the folder takes along
        with_file = replace(trained, path=weights)
        made = model_in_c(model, with_file, images, wanted, asked, name)
        return Export.of(out, write_c(made, out, asked.layout))


def model_in_c(
    model: str,
    trained: TrainedModel,
    images: CalibrationImages | None,
    wanted: PolicyOptions,
    asked: COptions,
    name: str,
) -> CModel:
    """What a folder says: numbers, policy and plan, under names that begin with `name`."""
    from exeunt.evaluate import weights_fingerprint
    from exeunt.export.c import CModel, check_budget
    from exeunt.graph import build_graph, plan_stream, plan_within

    integers = asked.dtype == "int8"
    if integers:
        images = needed_for_int8(images)
    graph = build_graph(trained.net, trained.transform.image_size)
    element_bytes = 1 if integers else 4
    if asked.budget_kib is None:
        plan = plan_stream(graph, element_bytes)
    else:
        budget_bytes = round(1024 * asked.budget_kib)
        plan = plan_within(graph, element_bytes, budget_bytes)
        check_budget(plan, budget_bytes)
        if images is not None:
            images = images.costing(plan.graph.exit_macs)
    if integers:
        assert images is not None
        numbers, facts = _integers(trained, graph, images, wanted, asked.ranges)
    else:
        numbers, facts = _floats(trained, images, wanted)
    return CModel(
        name,
        f"{model}, exits by {short_spec(facts['policy'])}",
        numbers,
        plan,
        trained.transform,
        trained.info.class_names,
        {
            "model": model,
            "fingerprint": weights_fingerprint(trained.net),
            "plain_exit_macs": list(graph.exit_macs),
            **facts,
        },
        trained.path,
    )


def _integers(
    trained: TrainedModel,
    graph: Graph,
    images: CalibrationImages,
    wanted: PolicyOptions,
    method: str,
) -> tuple[Numbers, dict[str, Any]]:
    """Quantises, chooses a policy for what comes out, and says how."""
    from exeunt.export.c import Int8
    from exeunt.quantize import IntegerPolicy, QuantizedNet, quantize

    ranges = images.ranges(graph, method)
    quantized = quantize(graph, ranges)
    net: Any = QuantizedNet(quantized)
    table = images.record(replace(trained, net=net))
    before = images.record(trained)
    policy = wanted.reach(trained, table, before)
    scales = [quantized.logit_scale(k) for k in range(len(graph.stages))]
    leaving = IntegerPolicy.of(policy, scales)
    facts = {
        "policy": policy.spec,
        "integer_policy": asdict(leaving),
        "ranges": {name: [reach.low, reach.high] for name, reach in ranges.items()},
        "calibration": on_calibration(table, policy, before),
    }
    return Int8(quantized, leaving), facts


def _floats(
    trained: TrainedModel, images: CalibrationImages | None, wanted: PolicyOptions
) -> tuple[Numbers, dict[str, Any]]:
    from exeunt.export.c import Float32

    policy, calibration = choose_policy(trained, images, wanted)
    facts = {"policy": policy.spec, "integer_policy": {}, "ranges": {}, "calibration": calibration}
    return Float32(policy), facts
