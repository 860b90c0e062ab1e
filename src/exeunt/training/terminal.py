"""What a run shows: a bar and every exit on a terminal, one line per epoch anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from exeunt.data import SPLIT_NAMES, Source, Splits, described, notes
from exeunt.data.left_out import listed
from exeunt.evaluate import Baseline
from exeunt.models import WeightsInfo
from exeunt.training.config import TrainConfig

_REFRESH_STEPS = 5


class _Times(ProgressColumn):
    """`0:00:41`, and once it is known `12 %, 0:00:41, 0:05:01 left`."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        elapsed = str(timedelta(seconds=int(task.elapsed or 0)))
        if not task.total or task.time_remaining is None:
            return Text(elapsed)
        left = timedelta(seconds=int(task.time_remaining))
        return Text(f"{task.percentage:.0f} %, {elapsed}, {left} left")


class _ExitsBar(Bar):
    """A bar for the run, and below it how every exit does."""

    exits = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.exits)


class TerminalProgress:
    """Prints to stderr; a context manager, so that the bar goes away however the run ends."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.say_to(Console(stderr=True, highlight=False))
        self.bar = _ExitsBar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Times(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("reading images", total=None)
        self.epochs = 0
        self.kind = ""

    def say_to(self, console: Console) -> None:
        """Lines break between words on a terminal; what a pipe or a file gets is never broken."""
        self.console = console
        console.soft_wrap = not console.is_terminal

    def __enter__(self) -> TerminalProgress:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def data(self, source: Source, splits: Splits) -> None:
        if source.class_names:
            names = listed(source.class_names)
            self.console.print(f"{len(source.class_names)} classes: {names}")
        parts = {name: splits[name] for name in SPLIT_NAMES}
        for line in (source.left_out.note, *notes(parts, source.class_names)):
            if line:
                self.console.print(line)

    def start(self, config: TrainConfig, splits: Splits, done: int) -> None:
        self.epochs = config.epochs
        self.kind = "error/deviation" if isinstance(splits.train[0].target, float) else "accuracy"
        sizes = (len(splits.train), len(splits.calibration), len(splits.test))
        self.console.print(
            f"{config.model} at {config.image_size} px: {sizes[0]} images to train on, "
            f"{sizes[1]} to calibrate, {sizes[2]} to test"
        )
        if done:
            self.console.print(f"resuming after epoch {done} of {config.epochs}")
        self.bar.update(self.task, total=config.epochs, completed=done)

    def step(
        self, epoch: int, batch: int, batches: int, losses: np.ndarray, scores: np.ndarray
    ) -> None:
        if batch % _REFRESH_STEPS and batch < batches - 1:
            return
        rows = (("loss", losses), (self.kind, scores))
        width = max(len(name) for name, _ in rows)
        self.bar.exits = "\n".join(
            f"  {name:<{width}} by exit" + "".join(f"{value:8.3f}" for value in values)
            for name, values in rows
        )
        done = epoch + (batch + 1) / batches
        self.bar.update(self.task, completed=done, description=f"epoch {epoch + 1}/{self.epochs}")

    def epoch(self, entry: dict[str, Any]) -> None:
        kind = "accuracy" if "calibration_accuracy" in entry else "mae"
        shown = " ".join(_figure(value, kind) for value in entry[f"calibration_{kind}"])
        self.console.print(
            f"epoch {entry['epoch']:3d}/{self.epochs}  {entry['seconds']:6.1f} s "
            f"({entry['data_wait']:.0%} waiting)  loss {entry['train_loss'][-1]:.3f}  "
            f"calibration {kind} by exit {shown}{_maps(entry)}"
        )

    def chose(self, reason: str) -> None:
        self.console.print(f"policy: {reason}")

    def interrupted(self, command: str) -> None:
        self.bar.stop()
        self.console.print(f"stopped; go on with: {command}")

    def finish(self, info: WeightsInfo, unreadable: Mapping[str, str]) -> None:
        self.bar.stop()
        if unreadable:
            plural = "s" if len(unreadable) > 1 else ""
            self.console.print(
                f"left out {len(unreadable)} unreadable image{plural}: {described(unreadable)}"
            )
        kind = "accuracy" if info.task == "classification" else "mae"
        for split, figures in info.metrics.items():
            shown = " ".join(_figure(row[kind], kind) for row in figures["exits"])
            taken = _figure(figures["policy"][kind], kind)
            saved = 100 * figures["policy"]["saving"]
            alone = Baseline(**figures["baseline"]).describe(info.class_names)
            self.console.print(
                f"{split} ({figures['samples']} images): {kind} by exit {shown}; with "
                f"{info.policy} {taken}, {saved:.1f} % of the MACs saved; {alone}"
            )
        self.console.print(f"weights: {self.out / 'best.safetensors'}")


def _maps(entry: Mapping[str, Any]) -> str:
    """How well a stem makes the maps that it learns, in the regime `stem`."""
    if "train_map_error" not in entry:
        return ""
    errors = " ".join(f"{error:.3f}" for error in entry["train_map_error"] if error is not None)
    r2 = np.asarray(entry["train_map_r2"], float)
    return (
        f"  maps off by {errors}; R2 of channels {np.nanmedian(r2):.3f}, least {np.nanmin(r2):.3f}"
    )


def _figure(value: float, kind: str) -> str:
    return f"{100 * value:.1f}" if kind == "accuracy" else f"{value:.4g}"
