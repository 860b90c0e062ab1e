"""Where the road begins: a classifier from weights, or from labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exeunt.classifier import Classifier
from exeunt.data import DataLike
from exeunt.trained import TrainedModel
from exeunt.training import Setting, TrainConfig, processes_here, read_recipe
from exeunt.training import train as run_training
from exeunt.training.progress import Progress, Quiet
from exeunt.training.run import Run
from exeunt.training.terminal import TerminalProgress


def load(model: str | Path, device: str = "cpu") -> Classifier:
    """A classifier from a run folder, a weights file or a name of weights that ship.

    Raises:
        ExeuntError: when it is not there, or is damaged.
    """
    return Classifier.of(TrainedModel.load(str(model), device), str(model))


def train(
    data: DataLike,
    out: str | Path,
    *,
    recipe: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> Classifier:
    """Trains a network with exits on labelled images.

    A run is a folder that survives a kill at any moment and goes on with `resume`. What is shown
    goes to stderr: a bar on a terminal, a line for each epoch.

    Args:
        data: a folder of class folders, a CSV, shards, or a public set as it is published; or a
            dataset of torch, torchvision or Hugging Face (see `LabelledImages`).
        out: the run folder.
        recipe: a TOML file with any of the settings; those given here come first.
        resume: go on with the run in `out`, if it has begun.
        device: `"cpu"`, `"cuda"`, ...
        workers: processes that load images.
        progress: told of every step instead.
        settings: as `TrainConfig` has them; `model` or `init` among them.

    Returns:
        The classifier of the best epoch, with its policy and figures.

    Raises:
        ExeuntError: for data, settings or a run folder that cannot be used.
    """
    values = read_recipe(recipe) if recipe else {}
    config = TrainConfig.from_dict(values | settings, str(recipe) if recipe else "exeunt.train")
    processes = processes_here(device, False)
    if progress is not None or processes.rank > 0:
        told = progress or Quiet()
        setting = Setting(processes, workers, "exeunt.train(...)", told)
        run_training(config, data, out, resume=resume, setting=setting)
    else:
        with TerminalProgress(Path(out)) as told:
            setting = Setting(processes, workers, "exeunt.train(...)", told)
            run_training(config, data, out, resume=resume, setting=setting)
    return Classifier.of(TrainedModel.load(str(Run(out).best), device), str(out))
