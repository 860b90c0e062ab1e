"""How long an image takes to reach each exit: measured, one image at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from exeunt.compiled import compile_stages
from exeunt.device import on_threads, processor_name, usable_device
from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet

Engine = Literal["eager", "compiled"]

WARM_UP = 5
"""Runs that are not measured."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the image to each exit, the exits before it included.

    Attributes:
        engine: `eager` PyTorch, or stages that `torch.compile` made.
        device: `cpu`, `cuda`, ...
        processor: what the device calls itself.
        threads: of the CPU.
        runs: that were measured.
        median_ms: by exit (E).
        low_ms: a quarter of the runs were faster (E).
        high_ms: a quarter of the runs were slower (E).
    """

    engine: Engine
    device: str
    processor: str
    threads: int
    runs: int
    median_ms: tuple[float, ...]
    low_ms: tuple[float, ...]
    high_ms: tuple[float, ...]

    def mean_ms(self, shares: Sequence[float]) -> float:
        """Expected milliseconds where these shares of images take each exit (E): Figure 4 of the
        ReX paper.
        """
        return sum(share * ms for share, ms in zip(shares, self.median_ms, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Under stable keys."""
        return {
            "device": self.device,
            "processor": self.processor,
            "threads": self.threads,
            "runs": self.runs,
            "median_ms": list(self.median_ms),
            "low_ms": list(self.low_ms),
            "high_ms": list(self.high_ms),
        }


def measure_latency(
    net: MultiExitNet,
    image_size: int | tuple[int, int],
    *,
    engine: Engine = "eager",
    device: str = "cpu",
    threads: int = 1,
    runs: int = 50,
    warm_up: int = WARM_UP,
    on_run: Callable[[], None] | None = None,
) -> Latency:
    """Lets one image go through all stages, again and again, and reads the clock at every exit.

    At each exit the logits are waited for, since a policy would look at them there. The net is left
    as it is.

    Args:
        net: trained or not.
        image_size: height and width, or one number for both.
        engine: `eager`, or `compiled` by `torch.compile`, stage by stage.
        device: that it runs on.
        threads: of the CPU; the number that was set before is set again.
        runs: to measure, at least 1.
        warm_up: runs before that.
        on_run: called after every run.

    Raises:
        ExeuntError: for sizes below 1, or a device that cannot be used.
        CompileError: when `torch.compile` fails.
    """
    if min(runs, threads) < 1 or warm_up < 0:
        raise ExeuntError(f"runs={runs}, threads={threads}, warm_up={warm_up}; give at least 1")
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    where = usable_device(device)
    own = copy.deepcopy(net).eval().to(where)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, net.in_chans, height, width, generator=generator).to(where)
    tell = on_run or (lambda: None)
    with on_threads(threads), torch.inference_mode():
        if engine == "compiled":
            own = compile_stages(own, image)
        times = []
        for run in range(warm_up + runs):
            taken = _one_run(own, image)
            if run >= warm_up:
                times.append(taken)
            tell()
    low, median, high = np.percentile(1e3 * np.array(times), (25, 50, 75), axis=0)
    return Latency(
        engine,
        device,
        processor_name(where),
        threads,
        runs,
        *(tuple(values.tolist()) for values in (median, low, high)),
    )


def _one_run(net: MultiExitNet, image: Tensor) -> list[float]:
    """Seconds to each exit."""
    _wait(image)
    start = perf_counter()
    taken = []
    state = net.begin(image)
    for k in range(net.num_exits):
        logits, state = net.step(k, state)
        _wait(logits)
        taken.append(perf_counter() - start)
    return taken


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
