"""All that the page of a report knows, as JSON.

The page replays policies by itself. What it needs for that are sufficient statistics: the class
that each exit predicts for each sample, and the numbers that policies compare with thresholds, in
the float32 that they have in Python. Logits, and names of images that are not shown, stay behind.
A sample of E exits takes about 17 E bytes of the file, or 5 E for regression.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.evaluate import (
    ExitTable,
    Outcome,
    agreement,
    exit_rows,
    oracle,
    overthinking,
    reliability,
)
from exeunt.policies import Policy, TopProbability
from exeunt.report.gallery import Thumbnail
from exeunt.report.policy_families import Family, families_of, reading_key, rules_of, thresholds_in

BINS = 10  # of the reliability plots: a phone shows them too

Json = dict[str, Any]


@dataclass(frozen=True)
class Payload:
    """What a page shows; all fields are ready for JSON.

    Numbers of all samples are packed: `{"type": "u8", "u16" or "f32", "data": base64}` of
    little-endian numbers, row by row.

    Attributes:
        title: What the report is about, usually a name of weights.
        summary: A sentence about the data.
        task: "classification" or "regression".
        classes: Names of the K classes; empty for regression.
        samples: N.
        exit_macs: Multiply-adds up to each exit (E).
        targets: Class indices or values (N), packed.
        predictions: Class indices or values (E N), packed.
        readings: By name, the numbers that thresholds are compared with, packed: (E N) for
            "confidence", which is shown too, and (E-1 N) for the others.
        families: Policies to choose from: `name`, `title`, `parameter`, `note`, and `settings`,
            each with `spec`, `shown` and the `rules` that `settings.rules_of` gives.
        stored: The family and the setting of the policy of the weights.
        exits: What each exit is worth on its own: the scores that `ExitRow` has for the task, and
            for classification `ece`, `spoiled` and `mended`.
        reliability: For each exit, `counts`, `confidence` and `accuracy` of its bins; none for
            regression.
        agreement: Share of samples on which exits i and j predict the same class (E E); none for
            regression.
        overthinking: `destructive`, `wasteful` and `wasted_macs`, as `Overthinking` has them; None
            for regression.
        oracle: `accuracy` and `macs` of one who knows the answers; None for regression.
        gallery: `row`, `name` and `image` (a data URI) of the images shown.
        facts: Groups of named facts about model and data: `title`, and `facts` as pairs of texts.
    """

    title: str
    summary: str
    task: str
    classes: Sequence[str]
    samples: int
    exit_macs: Sequence[int]
    targets: Json
    predictions: Json
    readings: dict[str, Json]
    families: Sequence[Json]
    stored: tuple[int, int]
    exits: Sequence[Json]
    reliability: Sequence[Json]
    agreement: Sequence[Sequence[float]]
    overthinking: Json | None
    oracle: Json | None
    gallery: Sequence[Json]
    facts: Sequence[Json]

    def to_json(self) -> str:
        """One line of ASCII; numbers that JSON has not are null."""
        return json.dumps(_finite(asdict(self)), allow_nan=False, separators=(",", ":"))


def payload(
    table: ExitTable,
    *,
    title: str,
    summary: str,
    class_names: Sequence[str],
    stored: Policy,
    budgets: Sequence[Outcome] = (),
    thumbnails: Iterable[Thumbnail] = (),
    facts: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (),
) -> Payload:
    """Gathers a report.

    Args:
        table: Of the samples that the report is about.
        title: What the report is about.
        summary: A sentence about the data.
        class_names: One per class (K); none for regression.
        stored: The policy of the weights, shown first.
        budgets: What policies that were solved for a mean cost reached on the calibration split.
        thumbnails: Samples to show.
        facts: Groups of named facts about model and data.

    Raises:
        ExeuntError: The names are not one per class, or a policy cannot be followed by a page.
    """
    outputs = 0 if table.task == "regression" else table.logits.shape[2]
    if len(class_names) != outputs:
        raise ExeuntError(f"{outputs} classes need as many names, got {len(class_names)}")
    families = families_of(table, stored, budgets)
    classes = table.task == "classification"
    return Payload(
        title=title,
        summary=summary,
        task=table.task,
        classes=list(class_names),
        samples=len(table),
        exit_macs=table.exit_macs,
        targets=_packed(table.targets, outputs),
        predictions=_packed(
            table.logits.argmax(dim=2) if classes else table.logits[:, :, 0], outputs
        ),
        readings=_readings(table, families),
        families=[_family(family, table.num_exits) for family in families],
        stored=_find(stored, families),
        exits=_exits(table),
        reliability=[_reliability(table, k) for k in range(table.num_exits)] if classes else [],
        agreement=agreement(table).tolist() if classes else [],
        overthinking=_overthinking(table) if classes else None,
        oracle=_oracle(table) if classes else None,
        gallery=[
            {"row": shot.row, "name": shot.name, "image": _data_uri(shot.jpeg)}
            for shot in thumbnails
        ],
        facts=[
            {"title": heading, "facts": [list(pair) for pair in group]} for heading, group in facts
        ],
    )


def _readings(table: ExitTable, families: Sequence[Family]) -> dict[str, Json]:
    if table.task == "regression":
        return {}
    confidence = [table.read(TopProbability(), k) for k in range(table.num_exits)]
    found = {"confidence": _packed(torch.stack(confidence), 0)}
    policies = [setting.policy for family in families for setting in family.settings]
    for policy in thresholds_in(policies):
        key = reading_key(policy)
        if key not in found:
            rows = [
                table.read(reading, k)
                for k in range(table.num_exits - 1)
                for reading in policy.readings(k)
            ]
            found[key] = _packed(torch.stack(rows) if rows else torch.empty(0), 0)
    return found


def _family(family: Family, num_exits: int) -> Json:
    settings = [
        {
            "spec": setting.policy.spec,
            "shown": setting.shown,
            "rules": rules_of(setting.policy, num_exits),
        }
        for setting in family.settings
    ]
    return {
        "name": family.name,
        "title": family.title,
        "parameter": family.parameter,
        "note": family.note,
        "settings": settings,
    }


def _find(stored: Policy, families: Sequence[Family]) -> tuple[int, int]:
    places = ((index, family.place(stored)) for index, family in enumerate(families))
    return next((index, place) for index, place in places if place is not None)


def _exits(table: ExitTable) -> list[Json]:
    names = ("accuracy", "oracle", "mean_confidence", "mae", "rmse")
    changes = overthinking(table) if table.task == "classification" else None
    rows = []
    for row in exit_rows(table):
        scores = {name: getattr(row, name) for name in names}
        rows.append({name: score for name, score in scores.items() if score is not None})
        if changes is not None:
            rows[-1] |= {
                "ece": reliability(table, row.index).ece,
                "spoiled": changes.spoiled[row.index],
                "mended": changes.mended[row.index],
            }
    return rows


def _reliability(table: ExitTable, exit_index: int) -> Json:
    found = reliability(table, exit_index, bins=BINS)
    return {
        "counts": found.counts,
        "confidence": found.mean_confidence,
        "accuracy": found.accuracy,
    }


def _overthinking(table: ExitTable) -> Json:
    found = overthinking(table)
    return {name: getattr(found, name) for name in ("destructive", "wasteful", "wasted_macs")}


def _oracle(table: ExitTable) -> Json:
    found = oracle(table)
    return {"accuracy": found.accuracy, "macs": found.mean_macs}


def _packed(numbers: Tensor, classes: int) -> Json:
    """Numbers in the smallest type that holds them exactly; class indices for `classes` above 0."""
    kind, dtype = "f32", "<f4"
    if classes:
        kind, dtype = ("u8", "<u1") if classes <= 256 else ("u16", "<u2")
    content = np.ascontiguousarray(numbers.numpy(), dtype=dtype).tobytes()
    return {"type": kind, "data": base64.b64encode(content).decode("ascii")}


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _finite(value: Any) -> Any:
    """The value with None in place of what JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
