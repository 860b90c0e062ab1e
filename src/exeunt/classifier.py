"""The one object over everything: a trained network, and all that can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from torch import nn

from exeunt.calibrate import Calibration, Goal, calibrate, calibrate_table, with_policy
from exeunt.data import DataLike, ImageLike, SplitSpec, Transform, as_data
from exeunt.evaluate import ExitTable
from exeunt.evaluate.splits import open_labelled, record_split, select_samples
from exeunt.export.calibration import images_and_goal
from exeunt.models import WeightsInfo, save_weights
from exeunt.net import MultiExitNet
from exeunt.policies import Policy, as_policy
from exeunt.predictor import Answer, TorchPredictor, predict
from exeunt.profile import CONVENTIONS, Profile, costs_of
from exeunt.report.measurement import Measurement
from exeunt.report.protocols import EvaluationOptions, evaluation_sections
from exeunt.report.recorder import Recorder, recording
from exeunt.report.summary import summary_html
from exeunt.trained import TrainedModel

if TYPE_CHECKING:
    from exeunt.bench import Benchmark
    from exeunt.export.result import Export


class Classifier:
    """A trained network: predicts, records, calibrates, is measured, exported and saved.

    `exeunt.load` gives one; for a network of one's own training, what its weights have to be used
    with is said here. Nothing changes a classifier: `calibrate` gives another.

    Args:
        net: a `MultiExitNet` with weights, compiled or wrapped for several processes or neither;
            put into evaluation mode.
        transform: from image to input.
        class_names: K of them, in the order of the logits; none for regression.
        policy: when to leave, as an object or a spec.
        split: seed and fractions by which calibration and test images were held out of the
            training; None where that is unknown, and then images to calibrate on have to be given
            apart.
        data_name: what the images of the training are called, for the record.
        data_licence: their terms, for the record.
        data_fingerprint: what `exeunt.data.fingerprint` says of them.

    Attributes:
        trained: the network and what is known of it.
        name: what it is called in reports.
        calibration: what `calibrate` found, on the classifier that it gave.

    Raises:
        ExeuntError: when the class names or the transform do not fit the network.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        transform: Transform,
        class_names: Sequence[str] = (),
        policy: str | Policy = "full",
        split: SplitSpec | None = None,
        data_name: str | None = None,
        data_licence: str | None = None,
        data_fingerprint: str | None = None,
    ) -> None:
        data = {"name": data_name, "fingerprint": data_fingerprint, "licence": data_licence}
        known = {key: text for key, text in data.items() if text}
        self.trained = TrainedModel.of(net, transform, class_names, as_policy(policy), split, known)
        self.name = self.info.architecture or type(self.net).__name__
        self.calibration: Calibration | None = None

    @classmethod
    def of(cls, trained: TrainedModel, name: str) -> Classifier:
        """A classifier over what is known already."""
        made = cls.__new__(cls)
        made.trained, made.name, made.calibration = trained, name, None
        return made

    @property
    def net(self) -> MultiExitNet:
        """The network, in evaluation mode."""
        return self.trained.net

    @property
    def info(self) -> WeightsInfo:
        """What is known of the weights: classes, transform, policy, figures, data, command."""
        return self.trained.info

    @property
    def transform(self) -> Transform:
        """From image to input."""
        return self.trained.transform

    @property
    def class_names(self) -> list[str]:
        """K names; none for regression."""
        return self.info.class_names

    @property
    def policy(self) -> Policy:
        """When images leave unless told otherwise."""
        return self.trained.policy(None)

    @property
    def exit_macs(self) -> tuple[int, ...]:
        """Multiply-adds of one image up to each of the E exits."""
        return self.trained.exit_macs

    def __repr__(self) -> str:
        what = f"{len(self.class_names)} classes" if self.class_names else "one value"
        height, width = self.transform.image_size
        return (
            f"Classifier({self.name}, {what}, {len(self.exit_macs)} exits, {height} x {width} px, "
            f"{self.info.policy})"
        )

    def _repr_html_(self) -> str:
        return summary_html(self.trained, self.name)

    @overload
    def predict(
        self, images: ImageLike, policy: str | Policy | None = None, *, top: int = 1
    ) -> Answer: ...
    @overload
    def predict(
        self, images: list[ImageLike], policy: str | Policy | None = None, *, top: int = 1
    ) -> list[Answer]: ...
    def predict(
        self,
        images: ImageLike | list[ImageLike],
        policy: str | Policy | None = None,
        *,
        top: int = 1,
    ) -> Answer | list[Answer]:
        """Classifies one image or a list, each of which leaves at the first exit trusted.

        Args:
            images: a file, a PIL image, uint8 pixels as an array (H, W, 3) or (H, W) or as a tensor
                (C, H, W), or a list of these.
            policy: when to leave; the classifier's own if None.
            top: classes to name, the likeliest first.

        Raises:
            ExeuntError: when an image cannot be read, or there are fewer classes than `top`.
        """
        chosen = self.policy if policy is None else as_policy(policy)
        predictor = TorchPredictor(self.trained, chosen)
        found = predict(predictor, images if isinstance(images, list) else [images], top)
        return found if isinstance(images, list) else found[0]

    def record(
        self,
        data: DataLike,
        split: str = "test",
        *,
        limit: int | None = None,
        batch_size: int = 64,
        workers: int = 0,
    ) -> ExitTable:
        """All exits on a split of labelled images, for policies to be tried on.

        Args:
            data: a path laid out as for training, or a dataset (see `LabelledImages`).
            split: `"test"`, `"calibration"`, `"train"` or `"all"`, cut as in training.
            limit: at most so many images, seeded and stratified.
            batch_size: images that go through the net at once.
            workers: processes that load images.

        Raises:
            ExeuntError: when the images are not there, or of other classes.
        """
        source = open_labelled(self.trained, as_data(data))
        samples = select_samples(self.trained, source, split, limit)
        return record_split(self.trained, samples, split, batch_size=batch_size, workers=workers)

    def calibrate(self, data: DataLike | ExitTable, **goal: Any) -> Classifier:
        """Another classifier, with a policy chosen on the calibration split; its `calibration` has
        the figures and the guarantee.

        Args:
            data: a recording of the calibration split, or labelled images.
            goal: exactly one of `budget_macs`, `budget_fraction`, `max_accuracy_drop` and `policy`,
                and what goes with it, as `Goal` has it.

        Raises:
            ExeuntError: when the goal cannot be reached, or the images are not those to choose on.
        """
        wanted = Goal(**goal)
        if isinstance(data, ExitTable):
            found = calibrate_table(data, wanted)
        else:
            found = calibrate(self.trained, as_data(data), wanted)
        info = with_policy(self.info, found.policy, found.table)
        made = Classifier.of(replace(self.trained, info=info), self.name)
        made.calibration = found
        return made

    def keep(self, exits: int) -> Classifier:
        """A smaller classifier that ends with exit number `exits`, from 1; its policy stays."""
        return Classifier.of(self.trained.kept(exits), self.name)

    def evaluate(
        self,
        data: DataLike | ExitTable,
        split: str = "test",
        *,
        policies: Sequence[str | Policy] = (),
        diagnose: bool = False,
        limit: int | None = None,
    ) -> Measurement:
        """Every exit on its own, and what policies make of them, with intervals.

        Args:
            data: labelled images, or a recording.
            split: of the images.
            policies: to try instead of the default ones.
            diagnose: tell what goes wrong too.
            limit: at most so many images.
        """
        if isinstance(data, ExitTable):
            run, table = recording(data, self.name, self.info.policy), data
        else:
            run, table = Recorder(self.name, self.trained, as_data(data), limit=limit).record(split)
        options = EvaluationOptions("policies", [*map(as_policy, policies)], diagnose, plot=None)
        return Measurement(run, evaluation_sections(options, run, table, None))

    def profile(
        self,
        image_size: int | tuple[int, int] | None = None,
        *,
        conventions: Sequence[str] = tuple(CONVENTIONS),
        dtypes: Sequence[str] = ("float32", "int8"),
    ) -> Profile:
        """Multiply-adds and peak memory of one image at every exit, see `exeunt.profile.profile`.

        Args:
            image_size: in pixels; that of the transform if None.
            conventions: what peak memory means.
            dtypes: of the numbers in memory.
        """
        size = image_size or self.transform.image_size
        size = (size, size) if isinstance(size, int) else size
        return costs_of(self.name, self.net, size, conventions, dtypes)

    def bench(
        self,
        engines: Sequence[str] = ("torch",),
        data: DataLike | None = None,
        *,
        dtypes: Sequence[str] = ("float32",),
        threads: int = 1,
        runs: int = 50,
        limit: int | None = None,
    ) -> Benchmark:
        """Milliseconds of one image to every exit, in the engines that people use.

        Args:
            engines: by name, see `exeunt.bench.ENGINES`.
            data: labelled images: where they leave, and accuracy, on the test split.
            dtypes: of the numbers.
            threads: of the processor.
            runs: of one image.
            limit: at most so many images.

        Raises:
            ExeuntError: when no engine is installed or takes the network.
        """
        from exeunt.bench import (
            BenchOptions,
            engines_named,
            measure_side_by_side,
            trained_candidate,
        )

        asked = BenchOptions(None, 32, None if data is None else as_data(data), None, None, limit)
        mine = trained_candidate(self.name, self.trained, asked, single=False)
        named = engines_named(engines)
        return measure_side_by_side([mine], named, asked, dtypes=dtypes, threads=threads, runs=runs)

    def export_c(
        self,
        out: str | Path,
        *,
        calibration: DataLike | None = None,
        dtype: str = "int8",
        ranges: str = "mse",
        name: str | None = None,
        budget_kib: float | None = None,
        layout: str = "all",
        limit: int | None = None,
        **goal: Any,
    ) -> Export:
        """Writes a folder of C99 that runs in one fixed arena.

        Args:
            out: the folder.
            calibration: labelled images, for int8's ranges and for policies to be chosen again.
            dtype: `"int8"` or `"float32"`.
            ranges: how int8 covers a tensor, `"mse"`, `"minmax"` or `"percentile"`.
            name: prefix of all names in C; the folder's by default.
            budget_kib: largest arena that will do.
            layout: build system whose files the folder gets, or `"all"`.
            limit: at most so many calibration images.
            goal: at most one of `policy`, `budget_fraction` and `max_accuracy_drop`.

        Raises:
            ExeuntError: when the network cannot be written in C, or the folder is not ours.
        """
        from exeunt.export.c.export import COptions, export_c

        self.trained.require_architecture(self.name)
        trained = replace(self.trained, path=None)  # the folder takes what is here along
        images, wanted = images_and_goal(trained, calibration, limit, goal)
        asked = COptions(dtype, ranges, name, budget_kib, layout)
        return export_c(self.name, trained, images, wanted, asked, Path(out))

    def export_onnx(
        self,
        out: str | Path,
        *,
        calibration: DataLike | None = None,
        dtype: str = "float32",
        quantize_rex: bool = False,
        single_file: bool = False,
        limit: int | None = None,
        **goal: Any,
    ) -> Export:
        """Writes a folder with one ONNX file for each stage.

        As `export_c`; `quantize_rex` has ReX in int8 too, `single_file` writes one graph too.

        Raises:
            ExeuntError: when the network has no such form, or the folder is not ours.
        """
        from exeunt.export.onnx.export import OnnxOptions, export_onnx

        self.trained.require_architecture(self.name)
        images, wanted = images_and_goal(self.trained, calibration, limit, goal)
        asked = OnnxOptions(dtype, quantize_rex, single_file)
        return export_onnx(self.name, self.trained, images, wanted, asked, Path(out))

    def export_web(
        self,
        out: str | Path,
        *,
        calibration: DataLike | None = None,
        dtype: str = "int8",
        limit: int | None = None,
        **goal: Any,
    ) -> Export:
        """Writes one HTML file in which the C of `export_c`, whose arguments it takes, runs as
        WebAssembly; raises `ExeuntError` without clang and lld, too.
        """
        from exeunt.export.web.export import WebOptions, export_web

        images, wanted = images_and_goal(self.trained, calibration, limit, goal)
        return export_web(self.name, self.trained, images, wanted, WebOptions(dtype), Path(out))

    def report(
        self,
        data: DataLike,
        out: str | Path,
        *,
        split: str = "test",
        limit: int | None = None,
        thumbnails: int = 120,
        live: bool = False,
    ) -> None:
        """Writes a page to explore where images leave; if `live`, with what `export_web` makes."""
        from exeunt.export.web.export import part_for
        from exeunt.report.page import write_page

        images = as_data(data)
        shown: dict[str, Any] = {"split": split, "limit": limit, "thumbnails": thumbnails}
        shown["part"] = part_for(self.name, self.trained, images, limit) if live else None
        write_page(self.trained, images, Path(out), title=self.name, **shown)

    def save(self, path: str | Path) -> None:
        """Writes a weights file that `exeunt.load` and every command take.

        Raises:
            ExeuntError: when nothing says how to build the network anew: `create_model` did not
                make it.
        """
        self.trained.require_architecture(self.name)
        save_weights(path, self.net.state_dict(), self.info)

    def push(self, repository: str, *, private: bool = False) -> str:
        """Uploads weights and card as `owner/name` of the Hugging Face Hub; gives its address."""
        from exeunt.report.hub import push

        self.trained.require_architecture(self.name)
        return push(self.trained, self.name, repository, private=private)
