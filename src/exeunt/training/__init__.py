"""Training all exits at once."""

from __future__ import annotations

from exeunt.training.config import TrainConfig, read_recipe
from exeunt.training.execution import Execution
from exeunt.training.loggers import Logger, make_logger
from exeunt.training.loop import train
from exeunt.training.losses import auxiliary_loss, depth_weighted, exit_losses
from exeunt.training.mixing import Targets
from exeunt.training.processes import Alone, Processes, processes_here
from exeunt.training.progress import Progress, Quiet
from exeunt.training.regime_check import check_regime
from exeunt.training.regimes import Pass, Regime, register_regime
from exeunt.training.registered import REGIMES

__all__ = [
    "REGIMES",
    "Alone",
    "Execution",
    "Logger",
    "Pass",
    "Processes",
    "Progress",
    "Quiet",
    "Regime",
    "Targets",
    "TrainConfig",
    "auxiliary_loss",
    "check_regime",
    "depth_weighted",
    "exit_losses",
    "make_logger",
    "processes_here",
    "read_recipe",
    "register_regime",
    "train",
]
