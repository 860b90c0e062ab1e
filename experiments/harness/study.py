"""A study is a list of trainings, declared as data, and the images that they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from exeunt.training import TrainConfig

ScaleName = Literal["small", "paper"]
SCALES: tuple[ScaleName, ...] = ("small", "paper")


@dataclass(frozen=True)
class Run:
    """One training, repeated for each seed.

    Attributes:
        name: in the results; none occurs twice in a study.
        model: architecture.
        args: of the architecture.
        settings: of the training, besides those that all runs of the study have.
        recipe: name of the settings, in the results.
        seeds: in this order.
        teacher: what it learns from besides, trained first, on the same images with the same seed;
            it has no row.
    """

    name: str
    model: str
    args: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = "adamw"
    seeds: tuple[int, ...] = (0,)
    teacher: Run | None = None

    def seeded(self, *seeds: int) -> Run:
        """The same with other seeds."""
        return replace(self, seeds=seeds)


@dataclass(frozen=True)
class Scale:
    """How large a study is run.

    Attributes:
        images: name of a set in `harness.images`.
        settings: of all trainings: image size, epochs, batch size.
        width: channel multiplier of models that take one; None for models that take none.
    """

    images: str
    settings: Mapping[str, Any]
    width: float | None = None


@dataclass(frozen=True)
class Study:
    """What one table or figure of a paper needs.

    Attributes:
        name: of the results' file.
        title: in the page.
        runs: the trainings.
        scales: small ones and the paper's.
        measure: from a trained classifier, its images and its run folder to the figures of a row;
            its keys are the row's columns.
        columns: those keys, in order.
    """

    name: str
    title: str
    runs: tuple[Run, ...]
    scales: Mapping[ScaleName, Scale]
    measure: Callable[..., dict[str, Any]]
    columns: tuple[str, ...]

    def config(self, run: Run, seed: int, scale: ScaleName) -> TrainConfig:
        """All settings of a training."""
        size = self.scales[scale]
        args = dict(run.args) if size.width is None else {"width": size.width} | dict(run.args)
        settings = dict(size.settings) | dict(run.settings)
        return TrainConfig(run.model, model_args=args, seed=seed, **settings)
