"""Versions that a result may depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch


def versions() -> dict[str, str]:
    """What a result may depend on, by name."""
    return {
        "exeunt": version("exeunt"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
