"""What a report says of the model and the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exeunt.evaluate import ExitTable
from exeunt.models import WeightsInfo

Facts = list[tuple[str, str]]


def card(
    info: WeightsInfo, table: ExitTable, *, model: str, data: str, parameters: int, fingerprint: str
) -> list[tuple[str, Facts]]:
    """Groups of named facts, the model's first.

    Args:
        info: Metadata of the weights.
        table: What was recorded.
        model: What the user calls the weights.
        data: What the user calls the data.
        parameters: How many the network has.
        fingerprint: Of the data, all splits together.
    """
    same = fingerprint == info.of_data("fingerprint")
    arguments = {key: value for key, value in info.arguments.items() if key != "graph"}
    classes = f"{len(info.class_names)}: {', '.join(info.class_names)}"
    height, width = info.transform["image_size"]
    return [
        (
            "Model",
            [
                ("weights", model),
                ("architecture", f"{info.architecture} ({_spelled(arguments)})"),
                ("exits", str(table.num_exits)),
                ("parameters", f"{parameters:,}, stored as {info.storage}"),
                ("task", info.task),
                *([("classes", classes)] if info.class_names else []),
                ("input", f"{height} x {width} pixels; {_spelled(_rest(info.transform))}"),
                ("stored policy", info.policy),
                *([("before it", ", ".join(info.policy_history))] if info.policy_history else []),
                ("fingerprint", table.weights_fingerprint),
            ],
        ),
        (
            "Training",
            [
                ("data", info.of_data("name")),
                ("licence", info.of_data("licence")),
                ("splits", _spelled(info.split)),
                ("held out", f"{len(info.calibration_hashes):,} images to calibrate on"),
                ("command", info.command),
                ("made with", _spelled(info.versions)),
            ],
        ),
        (
            "This report",
            [
                ("data", data),
                ("split", f"{table.split}, {len(table):,} images"),
                (
                    "fingerprint",
                    f"{fingerprint}, {'the' if same else 'not the'} data of the training",
                ),
                ("cost", "multiply-adds of convolution, linear and recurrent operators"),
            ],
        ),
    ]


def _rest(transform: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in transform.items() if key != "image_size"}


def _spelled(values: Mapping[str, Any]) -> str:
    texts = [
        f"{key.replace('_', ' ')} {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in values.items()
        if value is not None
    ]
    return ", ".join(texts) or "not stated"
