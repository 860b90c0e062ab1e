"""Engines that are fast and wrong are of no use: what they say is compared with PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch

from exeunt.bench.engine import Engine, Opened, RefusedError
from exeunt.bench.workload import Workload

TOLERANCE = 1e-3
"""How far float32 scores may be from PyTorch's, in parts of the largest."""


def open_checked(
    engine: Engine, workload: Workload, dtype: str, threads: int, folder: Path
) -> Opened:
    """Opens a network in an engine; in float32 its scores have to be PyTorch's.

    Args:
        engine: to open it in.
        workload: the network.
        dtype: `float32` or `int8`.
        threads: that it runs on.
        folder: an empty one, to write into.

    Raises:
        RefusedError: the engine cannot take it, or gives other scores.
    """
    if dtype not in engine.dtypes:
        raise RefusedError(f"{dtype} is not measured with it")
    opened = engine.open(workload, dtype, threads, folder)
    with torch.inference_mode():
        expected = workload.net(workload.inputs[:1])
    opened.start()
    for k, logits in enumerate(expected):
        found = torch.from_numpy(opened.step(k).copy())
        apart = float((found - logits).abs().max() / logits.abs().max())
        if dtype == "float32" and not apart <= TOLERANCE:
            raise RefusedError(f"its scores at exit {k + 1} are off by {apart:.1g} of the largest")
    return opened
