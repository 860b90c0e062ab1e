"""`exeunt export --target c`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.cli.exporting import (
    Images,
    Wanted,
    calibration_facts,
    choose_policy,
    float32_facts,
    needed_for_int8,
    on_calibration,
)
from exeunt.cli.render import short_spec, show_facts

if TYPE_CHECKING:
    from exeunt.cli.trained import TrainedModel
    from exeunt.export.c import Numbers
    from exeunt.graph import Graph


@dataclass(frozen=True)
class AsC:
    """How C is wanted.

    Attributes:
        dtype: `int8` or `float32`.
        ranges: how int8 covers a tensor.
        name: prefix of all names; None for the folder's.
        budget_kib: what the arena may take; None for no limit.
    """

    dtype: str
    ranges: str
    name: str | None
    budget_kib: float | None


def export_c(
    model: str,
    trained: TrainedModel,
    images: Images | None,
    wanted: Wanted,
    asked: AsC,
    out: Path,
) -> dict[str, Any]:
    """Writes the folder and returns its report."""
    from exeunt.evaluate import weights_fingerprint
    from exeunt.export.c import CModel, check_budget, write_c
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
    if integers:
        assert images is not None
        numbers, facts = _integers(trained, graph, images, wanted, asked.ranges)
    else:
        numbers, facts = _floats(trained, images, wanted)
    made = CModel(
        asked.name or _prefix(out),
        f"{model}, exits by {facts['policy']}",
        numbers,
        plan,
        trained.transform,
        trained.info.class_names,
        {"model": model, "fingerprint": weights_fingerprint(trained.net), **facts},
        trained.path,
    )
    return write_c(made, out)


def _integers(
    trained: TrainedModel, graph: Graph, images: Images, wanted: Wanted, method: str
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
    trained: TrainedModel, images: Images | None, wanted: Wanted
) -> tuple[Numbers, dict[str, Any]]:
    from exeunt.export.c import Float32

    policy, calibration = choose_policy(trained, images, wanted)
    facts = {"policy": policy.spec, "integer_policy": {}, "ranges": {}, "calibration": calibration}
    return Float32(policy), facts


def _prefix(out: Path) -> str:
    """A prefix of the folder's name, or what is nearest to it."""
    kept = re.sub(r"[^a-z0-9_]+", "_", out.resolve().name.lower()).strip("_")
    return kept if kept[:1].isalpha() else f"net_{kept}".rstrip("_")


def _proved(memory: dict[str, int]) -> str:
    if memory["arena_bytes"] == memory["least_bytes"]:
        return "the least for this order of rows"
    return f"no arena for this order of rows is smaller than {memory['least_bytes']}"


def show_c(out: Path, report: dict[str, Any]) -> None:
    """Says what was written, for people."""
    memory = report["memory"]
    facts = [
        ("written", f"{out} ({report['dtype']}, names begin with {report['name']}_)"),
        (
            "arena",
            f"{memory['arena_bytes']} bytes ({memory['arena_bytes'] / 1024:.1f} KiB), "
            f"{memory['row_window_bytes']} of them rows of the image; " + _proved(memory),
        ),
        ("constants", f"{report['flash']['constants_bytes']} bytes"),
        ("policy", short_spec(report["policy"])),
    ]
    if report["recomputed_macs"]:
        macs = report["exit_macs"][-1]
        factor = macs / (macs - report["recomputed_macs"])
        facts.insert(2, ("price", f"{factor:.3f} times the multiply-adds, for rows expanded again"))
    found = report["calibration"]
    if found:
        facts += calibration_facts(found)
        if report["dtype"] == "int8":
            facts += float32_facts(found)
    facts.append(("verify it with", f"exeunt verify {out} --images DATA"))
    show_facts(facts)
