"""Training steps with the kernels in C and without, one after the other.

    python benchmarks/step.py [--steps 6] [--threads 1]

64 images, SGD with momentum, the sum of all exits' losses, as in `benchmarks/published.py`, and
channels last, as `exeunt.train` has it. What is printed are the least times of a step by the clock,
and how many times as fast the kernels make it.
"""

from __future__ import annotations

import argparse
import time

import torch
from published import training_step

from exeunt.models import create_model
from exeunt.native import in_use, using
from exeunt.text import aligned
from exeunt.training.allocator import keep_freed_memory

NETWORKS = {
    "mobilenetv2_050": 64,
    "mobilenetv2_075": 112,
    "rex_mobilenetv2_075": 112,
    "densenet121": 64,
    "resnet34": 64,
    "msdnet_cifar10": 32,
    "ranet_cifar10": 32,
}
"""Names, and pixels of the images."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6, help="of each")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    rows = [("network", "px", "torch, ms", f"{in_use()}, ms", "times as fast")]
    for name, size in NETWORKS.items():
        slow, fast = least(name, size, chosen.steps)
        rows.append((name, f"{size}", f"{slow:.0f}", f"{fast:.0f}", f"{slow / fast:.2f}"))
    print(*aligned(rows, "lrrrr"), sep="\n")


def least(name: str, size: int, steps: int) -> list[float]:
    """Milliseconds of a step without the kernels and with them."""
    net = create_model(name, num_classes=10).to(memory_format=torch.channels_last)
    step = training_step(net, size)
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(steps + 1):
        for wish, times in zip("01", taken, strict=True):
            with using(wish):
                started = time.perf_counter()
                step()
            if turn > 0:
                times.append(1e3 * (time.perf_counter() - started))
    return [min(times) for times in taken]


if __name__ == "__main__":
    main()
