"""Where the curves of a run go besides `metrics.csv`: TensorBoard, Weights & Biases, Trackio."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from exeunt.documents import parse_json, read_text
from exeunt.errors import ExeuntError, one_of
from exeunt.files import replacing


class Logger(Protocol):
    """Told of one run, by the first of its processes alone."""

    def start(self, record: Mapping[str, Any], folder: Path, done: int) -> None:
        """Before the first epoch.

        Args:
            record: what `run.json` says; the settings are under `config`.
            folder: the run folder, which stands.
            done: epochs that stand already, of a run that is resumed.
        """

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """After every epoch, from 1, with its row of `metrics.csv`; those of an exit are called
        `calibration_accuracy/exit_1` and so on.
        """

    def finish(self, figures: Mapping[str, Any]) -> None:
        """At the end, with the figures of the weights that were kept, such as
        `test/exit_1/accuracy` and `test/policy/saving`.
        """

    def close(self) -> None:
        """However the run ended, and once; perhaps before it began."""


_METHODS = ("start", "epoch", "finish", "close")


class TensorBoard:
    """Event files in the run folder: `tensorboard --logdir RUN`."""

    def __init__(self) -> None:
        self._module = _needed("torch.utils.tensorboard", "tensorboard")
        self._writer: Any = None
        self._epochs = 0

    def start(self, record: Mapping[str, Any], folder: Path, done: int) -> None:
        # What another process logged of an epoch that it did not complete is not shown.
        self._writer = self._module.SummaryWriter(str(folder), purge_step=done + 1)
        self._writer.add_text("config", f"```json\n{json.dumps(record, indent=2)}\n```")
        self._epochs = record["config"]["epochs"]

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def finish(self, figures: Mapping[str, Any]) -> None:
        for name, value in figures.items():
            if isinstance(value, str):
                self._writer.add_text(name, value, self._epochs)
            else:
                self._writer.add_scalar(name, value, self._epochs)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class WandB:
    """A run of Weights & Biases in the project `exeunt`, or that of `WANDB_PROJECT`."""

    def __init__(self) -> None:
        self._module = _needed("wandb", "wandb")
        self._run: Any = None

    def start(self, record: Mapping[str, Any], folder: Path, done: int) -> None:
        self._run = self._module.init(
            project=os.environ.get("WANDB_PROJECT", "exeunt"),
            id=_identity(folder, "wandb"),
            name=folder.name,
            dir=str(folder),
            config=dict(record),
            resume="allow",
        )

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=epoch)

    def finish(self, figures: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(figures))

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()


class Trackio:
    """A run of Trackio in the project `exeunt`, or that of `TRACKIO_PROJECT`."""

    def __init__(self) -> None:
        self._module = _needed("trackio", "trackio")
        self._begun = False
        self._epochs = 0

    def start(self, record: Mapping[str, Any], folder: Path, done: int) -> None:
        self._module.init(
            project=os.environ.get("TRACKIO_PROJECT", "exeunt"),
            name=_identity(folder, "trackio"),
            config=dict(record),
            resume="allow",
        )
        self._begun = True
        self._epochs = record["config"]["epochs"]

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=epoch)

    def finish(self, figures: Mapping[str, Any]) -> None:
        self._module.log(dict(figures), step=self._epochs)

    def close(self) -> None:
        if self._begun:
            self._module.finish()


class Loggers:
    """Several as one; told of rows and figures as the run has them."""

    def __init__(self, loggers: Iterable[Logger]) -> None:
        self._loggers = tuple(loggers)

    def start(self, record: Mapping[str, Any], folder: Path, done: int) -> None:
        for logger in self._loggers:
            logger.start(record, folder, done)

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """With a row of the history."""
        values = {name: value for name, value in _named(entry) if name != "epoch"}
        for logger in self._loggers:
            logger.epoch(entry["epoch"], values)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """With the metrics of the weights, as `WeightsInfo` has them."""
        figures = {f"{split}/{name}": v for split in metrics for name, v in _named(metrics[split])}
        for logger in self._loggers:
            logger.finish(figures)

    def close(self) -> None:
        """Closes all of them, whatever happens to one."""
        with ExitStack() as stack:
            for logger in self._loggers:
                stack.callback(logger.close)


LOGGERS: dict[str, Callable[[], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "trackio": Trackio,
}


def make_logger(log: str | Logger) -> Logger:
    """The logger of that name; an object of one's own is what it is.

    Raises:
        ExeuntError: when there is none, its package is not installed, or the object is no logger.
    """
    if isinstance(log, str):
        if log not in LOGGERS:
            raise ExeuntError(f"log={log!r}; {one_of(log, LOGGERS)}")
        return LOGGERS[log]()
    if absent := [name for name in _METHODS if not callable(getattr(log, name, None))]:
        raise ExeuntError(
            f"log={log!r} has no {', '.join(absent)}; give a name, one of {', '.join(LOGGERS)}, or "
            "an object with the methods of exeunt.training.Logger"
        )
    return log


def _needed(module: str, package: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise ExeuntError(
            f"log={package!r} needs {package}, which cannot be imported ({error}): "
            f"pip install 'exeunt[{package}]'"
        ) from error


def _identity(folder: Path, service: str) -> str:
    """By what a service knows the run, also when it is resumed: `FOLDER-1a2b3c4d`."""
    path = folder / f"{service}.json"
    if path.exists():
        known = parse_json(read_text(path), path)
        if isinstance(known, dict) and isinstance(known.get("id"), str):
            return str(known["id"])
        raise ExeuntError(f"{path}: no id of a run; remove the file to log to a new one")
    identity = f"{folder.resolve().name}-{secrets.token_hex(4)}"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"id": identity}) + "\n", encoding="utf-8")
    return identity


def _named(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Numbers and words by paths of names; parts of a list are of exits, from 1."""
    for name, value in entry.items():
        if isinstance(value, list):
            inner: Mapping[str, Any] = {f"exit_{k}": part for k, part in enumerate(value, 1)}
        elif isinstance(value, Mapping):
            inner = value
        else:
            yield name, value
            continue
        for below, part in _named(inner):
            yield f"{name}/{below}", part
