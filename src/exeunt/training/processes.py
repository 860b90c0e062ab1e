"""The processes that train one network together.

Each holds the whole network and takes its share of every batch; gradients are averaged before each
step, so all take the same step. What is read or written once, the first process does for all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from exeunt.device import usable_device
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class Processes(Protocol):
    """What a training run asks of the processes that share it.

    Attributes:
        rank: which of them this is, from 0.
        size: how many there are.
        device: where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    def joined(self, net: nn.Module) -> nn.Module:
        """What to call instead of `net`, so that gradients are the mean over all processes.

        Args:
            net: with `requires_grad` as it stays until the next call.
        """

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum over all processes."""

    def collect(self, part: T) -> list[T]:
        """The parts of all processes in the order of their ranks at the first; elsewhere []."""

    def led(self, work: Callable[[], T]) -> T:
        """What `work` returns at the first process, the only one that does it.

        Raises:
            ExeuntError: everywhere, when it raises one there.
        """


class Alone:
    """The one process of an ordinary run."""

    rank = 0
    size = 1

    def __init__(self, device: str = "cpu") -> None:
        self.device = usable_device(device)

    def joined(self, net: nn.Module) -> nn.Module:
        return net

    def sum(self, values: np.ndarray) -> np.ndarray:
        return values

    def collect(self, part: T) -> list[T]:
        return [part]

    def led(self, work: Callable[[], T]) -> T:
        return work()


class Together:
    """Several processes, joined by Lightning Fabric and `DistributedDataParallel`.

    Args:
        fabric: launched, with a DDP strategy.
        sync_batchnorm: let batch norms see the batches of all processes as one.
    """

    def __init__(self, fabric: Fabric, sync_batchnorm: bool = False) -> None:
        self.fabric = fabric
        self.rank = fabric.global_rank
        self.size = fabric.world_size
        self.device = fabric.device
        self.sync_batchnorm = sync_batchnorm

    def joined(self, net: nn.Module) -> nn.Module:
        if self.sync_batchnorm:
            nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
        return self.fabric.strategy.setup_module(net)

    def sum(self, values: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        torch.distributed.all_reduce(tensor)
        return tensor.cpu().numpy()

    def collect(self, part: T) -> list[T]:
        parts: list[Any] = [None] * self.size
        torch.distributed.gather_object(part, parts if self.rank == 0 else None)
        return parts if self.rank == 0 else []

    def led(self, work: Callable[[], T]) -> T:
        result: tuple[T | None, ExeuntError | None] = None, None
        if self.rank == 0:
            try:
                result = work(), None
            except ExeuntError as error:
                result = None, error
        value, fault = self.fabric.broadcast(result)
        if fault is not None:
            raise fault
        return value  # type: ignore[return-value]


def processes_here(device: str, sync_batchnorm: bool = False) -> Processes:
    """The processes that `torchrun` started, as its environment variables say; else this one alone.

    Args:
        device: "cpu" or "cuda"; of several processes on one machine each takes a GPU of its own.
        sync_batchnorm: let batch norms see the batches of all processes as one; GPUs only.

    Raises:
        ExeuntError: when the device cannot be used so, or Lightning Fabric is not installed.
    """
    if sync_batchnorm and device != "cuda":
        raise ExeuntError(f"synchronised batch norm works on GPUs; this run is on {device}")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Alone(device)
    if device not in ("cpu", "cuda"):
        raise ExeuntError(f"{size} processes take the device cpu or cuda, not {device!r}")
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise ExeuntError(
            f"training in {size} processes needs lightning-fabric: "
            "pip install 'exeunt[distributed]'"
        ) from error
    local = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    usable_device("cpu" if device == "cpu" else f"cuda:{local - 1}")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=size // local,
        strategy=DDPStrategy(static_graph=True),
    )
    fabric.launch()
    return Together(fabric, sync_batchnorm)
