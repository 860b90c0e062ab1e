"""A training step of MSDNet and RANet in the authors' code and in ours, one after the other.

    git clone https://github.com/kalviny/MSDNet-PyTorch
    git clone https://github.com/yangle15/RANet-pytorch
    python benchmarks/published.py --msdnet MSDNet-PyTorch --ranet RANet-pytorch [--steps 10]

The networks for CIFAR and anytime prediction, 64 images of 32 pixels, SGD with momentum, the sum of
all exits' losses, one thread. Ours trains as `exeunt.train` does. Steps of both alternate; what is
printed are the least and the median processor time of a step, and the ratios. A network whose code
is not given is left out, and that is said.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from exeunt.models import create_model
from exeunt.text import aligned
from exeunt.training.allocator import keep_freed_memory

BATCH, SIZE, CLASSES = 64, 32, 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--msdnet", type=Path, metavar="FOLDER", help="the authors' code")
    parser.add_argument("--ranet", type=Path, metavar="FOLDER", help="the authors' code")
    parser.add_argument("--steps", type=int, default=10, help="of each")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = [("", "authors, ms", "ours, ms", "times as fast, least", "median")]
    for name, folder, published in (
        ("msdnet_cifar10", chosen.msdnet, published_msdnet),
        ("ranet_cifar10", chosen.ranet, published_ranet),
    ):
        if folder is None:
            print(f"{name}: left out, no code of the authors (see --help)", file=sys.stderr)
            continue
        rows.append((name, *compared(published(folder), ours(name), chosen.steps)))
    if len(rows) > 1:
        print(*aligned(rows, "lrrrr"), sep="\n")


def published_msdnet(folder: Path) -> nn.Module:
    """For ten classes, as the command line of its README makes it, but with 10 blocks."""
    args = SimpleNamespace(
        data="cifar10",
        base=4,
        step=2,
        stepmode="even",
        nBlocks=10,
        nChannels=16,
        growthRate=6,
        grFactor=[1, 2, 4],
        bnFactor=[1, 2, 4],
        nScales=3,
        prune="max",
        bottleneck=True,
        reduction=0.5,
    )
    with _imported(folder, "models.msdnet") as module:
        net: nn.Module = module.MSDNet(args)
    return net


def published_ranet(folder: Path) -> nn.Module:
    """For ten classes, as `train_cifar.sh` makes it."""
    args = SimpleNamespace(
        data="cifar10",
        nBlocks=2,
        block_step=2,
        step=4,
        stepmode="even",
        scale_list=[1, 2, 3, 3],
        grFactor=[4, 2, 1, 1],
        bnFactor=[4, 2, 1, 1],
        nScales=4,
        nChannels=16,
        growthRate=6,
        reduction=0.5,
        compress_factor=0.25,
        bnAfter=True,
        use_valid=False,
        gpu="",
    )
    with _imported(folder, "models.RANet") as module:
        net: nn.Module = module.RANet(args)
    return net


@contextlib.contextmanager
def _imported(folder: Path, name: str) -> Iterator[SimpleNamespace]:
    """A module of the authors' code, whose way of building networks is to print them."""
    before, argv = set(sys.modules), sys.argv
    sys.path.insert(0, str(folder))
    sys.argv = argv[:1]  # that code parses them on import
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield importlib.import_module(name)  # type: ignore[misc]
    finally:
        sys.argv = argv
        sys.path.remove(str(folder))
        for module in [one for one in set(sys.modules) - before if one.split(".")[0] == "models"]:
            del sys.modules[module]


def ours(name: str) -> nn.Module:
    net = create_model(name, num_classes=CLASSES)
    return net.to(memory_format=torch.channels_last)


def compared(theirs: nn.Module, own: nn.Module, steps: int) -> tuple[str, str, str, str]:
    """Least times of a step, and how many times as fast ours is."""
    count = [sum(one.numel() for one in net.parameters()) for net in (theirs, own)]
    if count[0] != count[1]:
        raise SystemExit(f"not the same network: {count[0]} parameters there, {count[1]} here")
    taken: tuple[list[float], list[float]] = ([], [])
    both = [training_step(net) for net in (theirs, own)]
    for turn in range(steps + 2):
        for step, times in zip(both, taken, strict=True):
            started = time.process_time()
            step()
            if turn > 1:
                times.append(1e3 * (time.process_time() - started))
    least, middle = [min(times) for times in taken], [statistics.median(times) for times in taken]
    ratios = least[0] / least[1], middle[0] / middle[1]
    return (f"{least[0]:.0f}", f"{least[1]:.0f}", f"{ratios[0]:.2f}", f"{ratios[1]:.2f}")


def training_step(net: nn.Module, size: int = SIZE) -> Callable[[], None]:
    """One step, on images of size x size pixels that are always the same."""
    net.train()
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, size, size, generator=draw)
    layout = next(one for one in net.parameters() if one.dim() == 4)
    if layout.is_contiguous(memory_format=torch.channels_last):
        images = images.contiguous(memory_format=torch.channels_last)
    targets: Tensor = torch.randint(CLASSES, (BATCH,), generator=draw)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss = sum(nn.functional.cross_entropy(logits, targets) for logits in net(images))
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()

    return step


if __name__ == "__main__":
    main()
