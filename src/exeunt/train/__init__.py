"""Training all exits at once."""

from __future__ import annotations

from exeunt.train.config import TrainConfig, read_recipe
from exeunt.train.loop import train
from exeunt.train.losses import auxiliary_loss, depth_weighted, exit_losses
from exeunt.train.processes import Alone, Processes, processes_here
from exeunt.train.progress import Progress, Quiet
from exeunt.train.setting import Setting

__all__ = [
    "Alone",
    "Processes",
    "Progress",
    "Quiet",
    "Setting",
    "TrainConfig",
    "auxiliary_loss",
    "depth_weighted",
    "exit_losses",
    "processes_here",
    "read_recipe",
    "train",
]
