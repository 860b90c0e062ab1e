"""Training all exits at once."""

from __future__ import annotations

from exeunt.training.config import TrainConfig, read_recipe
from exeunt.training.loop import train
from exeunt.training.losses import auxiliary_loss, depth_weighted, exit_losses
from exeunt.training.processes import Alone, Processes, processes_here
from exeunt.training.progress import Progress, Quiet
from exeunt.training.setting import Setting

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
