"""The machine that measures."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

import torch

import exeunt
from exeunt.bench.engine import Engine, package_version
from exeunt.device import processor_name
from exeunt.native import in_use


def describe_machine(threads: int, engines: Sequence[Engine]) -> dict[str, Any]:
    """What it is, under stable keys; `load` is the mean number of busy processes of the last
    minute, where the system tells.
    """
    packages = sorted({package for engine in engines for package in engine.packages} | {"numpy"})
    return {
        "processor": processor_name(torch.device("cpu")),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "kernels": in_use(),
        "versions": {
            "exeunt": exeunt.__version__,
            "python": platform.python_version(),
            **{package: package_version(package) for package in packages},
        },
    }
