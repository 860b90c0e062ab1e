"""Where the road begins: a classifier from weights, or from labelled images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from PIL.Image import Image

from exeunt.classifier import Classifier
from exeunt.data import DataLike
from exeunt.errors import ExeuntError
from exeunt.trained import TrainedModel
from exeunt.training import (
    Execution,
    Logger,
    Regime,
    TrainConfig,
    make_logger,
    processes_here,
)
from exeunt.training import train as run_training
from exeunt.training.progress import Progress, Quiet
from exeunt.training.resume import data_and_config
from exeunt.training.run import Run
from exeunt.training.terminal import TerminalProgress


def load(model: str | Path, device: str = "cpu") -> Classifier:
    """A classifier from a run folder, a weights file, a name of weights that ship, or
    `hf:owner/name` of the Hugging Face Hub.

    Raises:
        ExeuntError: when it is not there, or is damaged.
    """
    return Classifier.of(TrainedModel.load(str(model), device), str(model))


def train(
    data: DataLike | None,
    out: str | Path,
    *,
    recipe: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 0,
    progress: Progress | None = None,
    log: str | Logger | Sequence[str | Logger] = (),
    regime: str | Callable[[TrainConfig, Sequence[int], Sequence[str]], Regime] | None = None,
    augment: str | Callable[[Image], Image] | None = None,
    **settings: Any,
) -> Classifier:
    """Trains a network with exits on labelled images.

    A run is a folder that survives a kill at any moment and goes on with `resume`. What is shown
    goes to stderr: a bar on a terminal, a line for each epoch.

    Args:
        data: a folder of class folders, a CSV, shards, or a public set as it is published; or a
            dataset of torch, torchvision or Hugging Face (see `LabelledImages`). With `resume`,
            None stands for the path that the run has.
        out: the run folder.
        recipe: a TOML file with any of the settings; those given here come first.
        resume: go on with the run in `out`, by its own settings where none are given here; begin
            it if there is none.
        device: `"cpu"`, `"cuda"`, ...
        workers: processes that load images.
        progress: told of every step instead.
        log: where the curves go besides `metrics.csv`: `"tensorboard"`, `"wandb"`, `"trackio"`, an
            object of your own, or several of them.
        regime: the name of one, or a subclass of `exeunt.training.Regime`.
        augment: the name of what is done to cropped images besides, or a callable from PIL image
            to PIL image, of mode RGB or L and of the size that it was given. What it draws from
            `random`, `numpy.random` or torch, it draws from the run's seed.
        settings: as `TrainConfig` has them; `model` or `init` among them.

    Returns:
        The classifier of the best epoch, with its policy and figures.

    Raises:
        ExeuntError: for data, settings or a run folder that cannot be used.
    """
    own: dict[str, Any] = {}
    for name, given in (("regime", regime), ("augment", augment)):
        if given is not None:
            (settings if isinstance(given, str) else own)[name] = given
            if not (isinstance(given, str) or callable(given)):
                raise ExeuntError(f"{name}={given!r}; give a name or a callable")
    chosen = [log] if isinstance(log, str) or not isinstance(log, Sequence) else log
    loggers = [make_logger(one) for one in chosen]
    resumed, toml = Path(out) if resume else None, Path(recipe) if recipe else None
    data, config = data_and_config(data, toml, settings, resumed, "exeunt.train")
    processes = processes_here(device, False)
    quiet = progress is not None or processes.rank > 0
    with nullcontext(progress or Quiet()) if quiet else TerminalProgress(Path(out)) as told:
        execution = Execution(processes, workers, "exeunt.train(...)", told, loggers)
        run_training(config, data, out, resume=resume, execution=execution, **own)
    return Classifier.of(TrainedModel.load(str(Run(out).best), device), str(out))
