"""What runs a network in a page: its markup, its script, and the network itself."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import exeunt
from exeunt.export.web.choices import Choices
from exeunt.page import PagePart, filled, inert, joined_page, part_text, shared_parts
from exeunt.policies import parse_policy
from exeunt.profile import short_path, spans_of

if TYPE_CHECKING:
    from exeunt.export.c import CModel

MARKUP, PAGE, STYLE = "live.html", "page.html", "live.css"
FIRST = "alone.js"
SCRIPTS = (
    "resize.js",
    "photographs.js",
    "program.js",
    "arena.js",
    "policy.js",
    "shown.js",
    "live.js",
)
PARTS = (MARKUP, PAGE, STYLE, FIRST, *SCRIPTS)

Json = dict[str, Any]


def page_part(model: CModel, report: Json, program: bytes) -> PagePart:
    """The part of a page that runs a network.

    Args:
        model: what was exported.
        report: of the folder.
        program: the folder in WebAssembly.
    """
    values = {
        "live": inert(json.dumps(live_data(model, report, len(program)), allow_nan=False)),
        "program": base64.b64encode(program).decode("ascii"),
    }
    markup = filled(_part(MARKUP), values)
    script = "\n".join(map(_part, SCRIPTS))
    return PagePart(markup, _part(STYLE), script, ("'wasm-unsafe-eval'",))


def live_page(title: str, part: PagePart) -> str:
    """A page of that part alone."""
    style, script = shared_parts()
    return joined_page(
        _part(PAGE),
        title,
        [style, part.style],
        [_part(FIRST), script, part.script],
        {"part": part.markup},
        part.allowed,
    )


def live_data(model: CModel, report: Json, program_bytes: int) -> Json:
    """What the page knows of the network, ready for JSON."""
    from exeunt.export.c import Int8

    plan, numbers = model.plan, model.numbers
    exits = len(plan.graph.stages)
    scales = None
    if isinstance(numbers, Int8):
        scales = [numbers.quantized.logit_scale(k) for k in range(exits)]
    stored = parse_policy(report["policy"])
    return {
        "title": report["model"],
        "dtype": report["dtype"],
        "shape": report["image_shape"],
        "classes": report["class_names"],
        "transform": report["transform"],
        "exit_macs": report["exit_macs"],
        "arena_bytes": report["memory"]["arena_bytes"],
        "constants_bytes": report["flash"]["constants_bytes"],
        "program_bytes": program_bytes,
        "score_scales": numbers.score_scales(plan.graph),
        "kinds": Choices(exits, scales).kinds(stored),
        "calibration": report["calibration"],
        "steps": [
            None if event.node is None else short_path(event.node.module)
            for event in plan.schedule.events
        ],
        "exit_steps": list(plan.schedule.ends),
        "spans": [
            [
                short_path(span.name),
                span.role,
                span.first,
                span.last,
                span.offset_bytes,
                span.size_bytes,
            ]
            for span in spans_of(plan)
        ],
        "version": exeunt.__version__,
    }


def _part(name: str) -> str:
    return part_text("exeunt.export.web", "page", name)
