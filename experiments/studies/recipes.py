"""The settings that the studies share."""

from __future__ import annotations

from typing import Any

ADAMW: dict[str, Any] = {"optimizer": "adamw"}
CELLS: dict[str, Any] = ADAMW | {"cell_weight_decay": 0.0}
SGD: dict[str, Any] = {}

PAPER_FORM: dict[str, Any] = {"rex_form": "paper"}
"""Arguments of networks that stand for the ReX paper's."""

BETTER: dict[str, Any] = {"cell": "mingru", "norm": True, "remember": True}
"""The form of ReX that the search of `docs/rex.md` found best, `rex_form="mingru"`, spelt out."""

NON_COMMERCIAL = "pictures of ImageNet: non-commercial research and education only"

SMALL: dict[str, Any] = {
    "image_size": 64,
    "epochs": 30,
    "batch_size": 64,
    "data_licence": NON_COMMERCIAL,
}
"""Imagenette at 64 pixels."""

PAPER: dict[str, Any] = {
    "image_size": 224,
    "epochs": 150,
    "batch_size": 64,
    "data_licence": NON_COMMERCIAL,
}
"""ImageNet, for each process of `torchrun`; the paper gives no recipe."""
