"""What of a training run is fixed before its first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from PIL.Image import Image
from torch import Tensor

from exeunt.data import (
    AUGMENTATIONS,
    Augment,
    Sample,
    Source,
    Splits,
    SplitSpec,
    Transform,
    UnreadableTally,
    content_hash,
    fingerprint,
    make_splits,
)
from exeunt.data.augment import Seeded
from exeunt.data.augmentations import Augmentation
from exeunt.data.kept import Room, kept
from exeunt.data.left_out import listed
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, record_samples
from exeunt.models import WeightsInfo, model_takes
from exeunt.net import MultiExitNet
from exeunt.quantize import QuantizedNet
from exeunt.training.config import TrainConfig
from exeunt.training.execution import Execution
from exeunt.training.losses import balanced_weights
from exeunt.training.objects import missing_object
from exeunt.training.start import licence_of, licence_of_pretrained
from exeunt.versions import versions

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """Data, splits, transform and arguments; `exit_macs`, and the arguments `built` from which the
    network is built anew, once it has been built.

    `unreadable` has the images that were left out of what was measured, and why each was.
    """

    config: TrainConfig
    source: Source
    execution: Execution
    spec: SplitSpec
    splits: Splits
    transform: Transform
    calibration_hashes: list[str]
    exit_macs: tuple[int, ...] = ()
    built: dict[str, Any] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: TrainConfig, source: Source, execution: Execution) -> Plan:
        spec = SplitSpec(
            config.seed, config.calibration_fraction, config.test_fraction, config.limit
        )
        splits = _kept(make_splits(source, spec), execution)
        if source.task != "classification":
            _refuse_for_values(config)
        met = {sample.target for sample in splits.train}
        if absent := [name for k, name in enumerate(source.class_names) if k not in met]:
            raise ExeuntError(f"{source.root}: no images to train on of {listed(absent)}")
        size = (config.image_size, config.image_size)
        mean, std = tuple(config.mean or ()), tuple(config.std or ())
        transform = Transform(size, mean, std, mode="L" if config.grey else "RGB")
        hashes = sorted({content_hash(sample.place) for sample in splits.calibration})
        return cls(config, source, execution, spec, splits, transform, hashes)

    def augment(self, function: Callable[[Image], Image] | None = None) -> Augment:
        """The training transform.

        Args:
            function: from image to image, in place of the augmentation that the config names.

        Raises:
            ExeuntError: when the config names a function that is not given.
        """
        name = self.config.augment
        augmentation: Augmentation | None = None if function is None else Seeded(function)
        if augmentation is None and name is not None:
            if name not in AUGMENTATIONS:
                raise missing_object("augment", name)
            augmentation = AUGMENTATIONS[name]
        size = self.config.train_size or self.config.image_size
        transform = replace(self.transform, image_size=(size, size))
        config = self.config
        return Augment(
            transform,
            (config.crop_scale, 1.0),
            flip=config.flip,
            colour=config.colour,
            erase=config.erase,
            augmentation=augmentation,
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the architecture. One that takes no `exits` has its own."""
        model, places = self.config.model, self.config.exit_places
        asked = places != TrainConfig.exits or model_takes(model, "exits")
        return {
            "num_classes": len(self.source.class_names) or 1,
            "in_chans": self.transform.channels,
            **({"exits": places} if asked else {}),
            **self.config.exit_heads,
            **self.config.model_args,
        }

    @cached_property
    def data(self) -> dict[str, str]:
        config, licence = self.config, self.config.data_licence
        licence += licence_of_pretrained(config.model, config.model_args)
        if config.init is not None:
            licence += licence_of(config.init)
        if config.teacher is not None:
            licence += licence_of(config.teacher, "taught by")
        return {
            "name": self.source.name,
            "fingerprint": fingerprint(self.source.samples),
            "licence": licence,
        }

    def record(self) -> dict[str, Any]:
        """What `run.json` says."""
        sizes = {name: len(self.splits[name]) for name in ("train", "calibration", "test")}
        return {
            "command": self.execution.command,
            "config": self.config.to_dict(),
            "data": self.data,
            "splits": sizes,
            **({} if self.class_weights is None else {"class_weights": self._weights_by_name()}),
            "versions": versions(),
            "finished": False,
        }

    @cached_property
    def class_weights(self) -> Tensor | None:
        """(K,) float32, of the images of each class; None where all weigh alike."""
        if self.config.class_weights is None:
            return None
        targets = [int(sample.target) for sample in self.splits.train]
        return balanced_weights(targets, len(self.source.class_names))

    def _weights_by_name(self) -> dict[str, float]:
        assert self.class_weights is not None
        weights = self.class_weights.tolist()
        return dict(zip(self.source.class_names, (round(w, 6) for w in weights), strict=True))

    def measure(
        self, net: MultiExitNet | QuantizedNet, split: str, judge: Callable[[ExitTable], T]
    ) -> T:
        """What `judge` finds in the logits of all exits on one split.

        Every process records a part of the split; the first one judges for all.
        """
        processes, samples = self.execution.processes, self.splits[split]
        first, end = ((processes.rank + k) * len(samples) // processes.size for k in (0, 1))
        part = samples[first:end]
        tally = self.tally(split)
        table = self._record(net, part, split, tally) if part else None
        parts, met = processes.collect(table), processes.collect(tally.reasons)

        def judged() -> T:
            whole = self.tally(split)
            whole.include(*met)
            self.unreadable.update(whole.reasons)
            return judge(self._whole(parts, samples))

        return processes.led(judged)

    def tally(self, split: str) -> UnreadableTally:
        """One for the unreadable images of a split."""
        return UnreadableTally(len(self.splits[split]), allowed=self.config.allow_unreadable)

    def _record(
        self,
        net: MultiExitNet | QuantizedNet,
        samples: Sequence[Sample],
        split: str,
        tally: UnreadableTally,
    ) -> ExitTable:
        return record_samples(
            net,  # type: ignore[arg-type]
            samples,
            self.transform,
            exit_macs=self.exit_macs,
            task=self.source.task,
            split=split,
            batch_size=self.config.batch_size,
            workers=self.execution.workers,
            tally=tally,
        )

    def _whole(self, parts: Sequence[ExitTable | None], samples: Sequence[Sample]) -> ExitTable:
        tables = [part for part in parts if part is not None]
        names = tuple(name for table in tables for name in table.names)
        if len(parts) == 1:
            return tables[0]
        return replace(
            tables[0],
            logits=torch.cat([table.logits for table in tables], dim=1),
            targets=torch.cat([table.targets for table in tables]),
            names=names,
            data_fingerprint=fingerprint(samples),
        )

    def info(self, metrics: dict[str, Any], policy: str = "full") -> WeightsInfo:
        """The metadata of a weights file of this run."""
        return WeightsInfo(
            architecture=self.config.model,
            arguments=self.built,
            task=self.source.task,
            class_names=list(self.source.class_names),
            transform=self.transform.to_dict(),
            policy=policy,
            metrics=metrics,
            split=asdict(self.spec),
            calibration_hashes=self.calibration_hashes,
            data=self.data,
            command=self.execution.command,
            versions=versions(),
            storage=self.config.storage,
        )


def _kept(splits: Splits, execution: Execution) -> Splits:
    """The same, of which images are decoded once that are looked at in every epoch, where this
    process loads them itself; others would each keep all of them.
    """
    if execution.workers > 0:
        return splits
    room = Room.of_this_machine(execution.processes.size)
    return replace(
        splits, calibration=kept(splits.calibration, room), train=kept(splits.train, room)
    )


def _refuse_for_values(config: TrainConfig) -> None:
    """Refuses settings that only classes have."""
    for name in ("class_weights", "teacher", "mixup", "cutmix"):
        if value := getattr(config, name):
            raise ExeuntError(f"{name}={value!r} is for classes; these images have values")
