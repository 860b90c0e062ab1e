"""An exported folder that is open: a policy over a chain of stages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exeunt.runner.array import Array, softmax
from exeunt.runner.chain import Chain, Stage
from exeunt.runner.engine import ENGINES, Session
from exeunt.runner.error import RunnerError
from exeunt.runner.manifest import MANIFEST, exported_bytes, read_manifest, seal
from exeunt.runner.policy import Policy
from exeunt.runner.preprocessing import Preprocessing
from exeunt.runner.stem import with_stem


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a batch of N images left with.

    Attributes:
        logits: of the exit that each image took, (N, K) float32.
        exit_index: that exit, counted from 0, (N,) int64.
        rows: how many images each of the E stages ran on.
    """

    logits: Array
    exit_index: Array
    rows: tuple[int, ...]

    @property
    def class_index(self) -> Array:
        """The likeliest class of each image, (N,)."""
        return np.asarray(self.logits.argmax(1))

    @property
    def probabilities(self) -> Array:
        """The softmax of the logits, (N, K)."""
        return softmax(self.logits)


class StagedModel:
    """An exported folder, read and checked.

    Attributes:
        folder: where it lies.
        manifest: what `manifest.json` says.
        class_names: K of them; empty for a network that gives a value.
        num_exits: E.
        exit_macs: cumulative multiply-adds of each exit.
        image_shape: (C, H, W) of the input.
        policy: that decides who leaves.
        chain: the stages.

    Args:
        folder: what `exeunt export --target onnx` wrote.
        threads: that a stage runs on; 0 for as many as there are cores.
        policy: spec of another policy than the stored one.
        share: one pool of threads for all stages, instead of threads of its own for each, which
            sleep while others run. There are fewer, but onnxruntime lets them spin, and opens no
            session with threads of its own in this process from then on.
        engine: one of `ENGINES`, onnxruntime or openvino.
        at_once: images of a batch that go through the stages together; 4 for each thread by
            default. The maps of more leave the processor's cache, which costs ReX most.

    Raises:
        RunnerError: when a file is missing, is not the one that was written, or the manifest does
            not describe the files; the message names it. When there is no such engine.
    """

    def __init__(
        self,
        folder: str | Path,
        threads: int = 0,
        policy: str | None = None,
        share: bool = False,
        engine: str = "onnxruntime",
        at_once: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._at_once = at_once or 4 * (threads or os.cpu_count() or 1)
        if engine not in ENGINES:
            raise RunnerError(f"engine {engine!r} is none of {', '.join(ENGINES)}")
        self.manifest = read_manifest(self.folder / MANIFEST)
        try:
            self._refuse_another_seal()
            self._take_manifest(policy)
            self.chain = self._open(engine, threads, share)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise self._lies(f"{type(error).__name__}: {error}") from error

    def _refuse_another_seal(self) -> None:
        """The first stage's file says what manifest it was written with."""
        if not self.manifest["stages"]:
            raise self._lies("no stages")
        first = self.manifest["stages"][0]
        if seal(self.manifest).encode() not in exported_bytes(self.folder, first):
            raise self._lies(f"other than what {first['file']} was written with")

    def _take_manifest(self, policy: str | None) -> None:
        says = self.manifest
        self.class_names = tuple(says["class_names"])
        self.num_exits = len(says["stages"])
        self.exit_macs = tuple(stage["macs"] for stage in says["stages"])
        try:
            self.policy = Policy(says["policy"])
            self._preparation = Preprocessing(says["transform"])
        except RunnerError as error:
            raise self._lies(str(error)) from error
        if policy is not None:
            self.policy = Policy(policy)
        self.image_shape = tuple(says["image"]["shape"])
        if self.num_exits > 1:
            self.policy.refuse_task(len(self.class_names) or 1)
        if self.image_shape != self._preparation.image_shape:
            raise self._lies("image and transform do not fit each other")

    def _lies(self, what: str) -> RunnerError:
        return RunnerError(f"{self.folder / MANIFEST}: {what}")

    def _open(self, engine: str, threads: int, share: bool) -> Chain:
        """Reads every stage's file once, checks it, and opens it."""
        says = self.manifest["stages"]
        hashes = {stage["sha256"]: stage["file"] for stage in says}
        image = self.manifest["image"]["name"]
        shapes = {image: [*self.image_shape]}
        opened = partial(_session, engine=engine, threads=threads, share=share)
        stages = []
        for stage in says:
            file = self.folder / stage["file"]
            data = exported_bytes(self.folder, stage, hashes)
            session = with_stem(self.folder, stage, shapes, opened, threads) or opened(file, data)
            outputs = {one["name"]: one["shape"] for one in stage["outputs"]}
            self._compare(file, session.outputs, outputs)
            known = {name: shapes[name] for name in stage["inputs"] if name in shapes}
            self._compare(file, session.inputs, known)
            if outputs[stage["logits"]] != [len(self.class_names) or 1]:
                raise self._lies(f"the logits of {file.name} do not fit its class names")
            shapes = {name: shapes[name] for name in stage["passed_on"]} | outputs
            names = tuple(stage["inputs"]), stage["logits"], tuple(stage["passed_on"])
            stages.append(Stage(*names, session))
        return Chain(image, stages)

    def _compare(self, file: Path, found: dict[str, list[int]], said: dict[str, list[int]]) -> None:
        if found != said:
            raise self._lies(f"{file.name} has {found}, not {said}")

    def load(self, path: str | Path) -> Array:
        """The image in a file as the network takes it, (C, H, W).

        Raises:
            RunnerError: when it cannot be decoded.
        """
        return self._preparation.load(path)

    def transform(self, image: Image.Image) -> Array:
        """An image of any size and mode as the network takes it, float32 (C, H, W)."""
        return self._preparation.transform(image)

    def forward(self, images: Sequence[Array] | Array) -> Array:
        """Logits of every exit for a batch, (E, N, K), nobody leaving and whatever they are; as
        `predict` otherwise.
        """
        parts = [self.chain.forward(part) for part in self._parts(images)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 1)

    def predict(
        self, images: Sequence[Array] | Array, names: Sequence[str] | None = None
    ) -> Prediction:
        """Classifies a batch; each stage runs on those alone who are still in.

        Args:
            images: N of them, each as `load` and `transform` give it, or an array (N, C, H, W).
            names: of them, for messages; they are counted otherwise.

        Raises:
            RunnerError: there are none, they have another shape, or logits are not finite.
        """
        names = names or [f"image {n + 1} of {len(images)}" for n in range(len(images))]
        batches = self._parts(images)
        starts = range(0, len(images), self._at_once)
        parts = [self._predict(part, names[n:]) for n, part in zip(starts, batches, strict=True)]
        if len(parts) == 1:
            return parts[0]
        return Prediction(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.exit_index for part in parts]),
            tuple(map(sum, zip(*(part.rows for part in parts), strict=True))),
        )

    def _predict(self, batch: Array, names: Sequence[str]) -> Prediction:
        state = self.chain.begin(batch)
        waiting = np.arange(len(batch))
        exit_index, rows = np.full(len(batch), self.num_exits - 1), [0] * self.num_exits
        taken = np.zeros((len(batch), len(self.class_names) or 1), np.float32)
        memory: list[Array] = []
        for k in range(self.num_exits):
            rows[k] = len(waiting)
            logits, state = self.chain.step(k, state)
            if not np.isfinite(logits).all():
                odd = waiting[~np.isfinite(logits).all(1)]
                raise RunnerError(f"exit {k + 1}: the logits of {names[odd[0]]} are not finite")
            if k == self.num_exits - 1:
                taken[waiting] = logits
                break
            leave, memory = self.policy.observe(k, logits, memory)
            if not leave.any():
                continue
            taken[waiting[leave]], exit_index[waiting[leave]] = logits[leave], k
            waiting = waiting[~leave]
            if len(waiting) == 0:
                break
            state = {name: tensor[~leave] for name, tensor in state.items()}
            memory = [part[~leave] for part in memory]
        return Prediction(taken, exit_index, tuple(rows))

    def _parts(self, images: Sequence[Array] | Array) -> list[Array]:
        """A batch, checked, in parts that go through together."""
        batch = np.asarray(images, np.float32)
        if len(batch) == 0 or batch.shape[1:] != self.image_shape:
            shape = "x".join(map(str, self.image_shape))
            raise RunnerError(f"images must be an array of Nx{shape}, N >= 1, not {batch.shape}")
        return [batch[n : n + self._at_once] for n in range(0, len(batch), self._at_once)]


def _session(file: Path, data: bytes, engine: str, threads: int, share: bool) -> Session:
    try:
        return ENGINES[engine](data, threads, share)
    except ModuleNotFoundError as error:
        raise RunnerError(f"{engine} is not installed ({error})") from error
    except Exception as error:  # the engines have no common base for what they raise
        said: Any = str(error).strip().splitlines() or [type(error).__name__]
        raise RunnerError(f"{file}: {engine} cannot open it ({said[0]})") from error
