"""Runs an exported folder, one ONNX file for each stage, stopping early.

Needs onnxruntime, NumPy and Pillow, neither torch nor exeunt: a copy of this file lies in the
folder as `run.py`, where `python run.py IMAGE...` prints one JSON object for each image.

    model = StagedModel("folder")
    taken = model.predict([model.load("photo.jpg")])  # taken.class_index, taken.exit_index
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMAT = 1
MANIFEST = "manifest.json"
_PROVIDERS = ["CPUExecutionProvider"]

Array = NDArray[Any]


class RunnerError(ValueError):
    """Raised for a folder or an image that cannot be used; the message names the file."""


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
        return _softmax(self.logits)


class Policy:
    """Says after each exit who leaves: what `exeunt.policies` says of the same logits.

    Attributes:
        spec: its text, such as `consistency:2` or `confidence:0.9/0.8,t=1.5`; parts joined with
            `+` must all agree.

    Raises:
        RunnerError: for a text that is no policy.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        texts = [] if spec == "full" else re.split(r"\+(?=[a-z]+:)", spec)
        try:
            self._parts = [_Part(text) for text in texts]
        except (ValueError, KeyError):
            raise RunnerError(
                f"policy {spec!r} is none of full, confidence:T, margin:T, entropy:T, "
                "consistency:K, consistency:K,eta=X, or several of these joined with +"
            ) from None

    def observe(
        self, exit_index: int, logits: Array, memory: list[Array]
    ) -> tuple[Array, list[Array]]:
        """Looks at an exit (from 0): who leaves, (N,) bool, and what to remember of everybody.

        Args:
            exit_index: which exit.
            logits: (N, K), of those who are still in.
            memory: what the call before returned for these, `[]` at the first exit.

        Raises:
            RunnerError: the logits are of one value and the policy is for classes, or so.
        """
        leave = np.full(len(logits), bool(self._parts))
        kept: list[Array] = []
        for part in self._parts:
            if (logits.shape[1] == 1) != (part.eta is not None):
                raise RunnerError(f"policy {self.spec!r} is not for {logits.shape[1]} output(s)")
            mine = memory[len(kept) : len(kept) + 2] if part.k else []
            says, after = part.observe(exit_index, logits.astype(np.float32), mine)
            leave, kept = leave & says, kept + after
        return leave, kept


class _Part:
    """One condition."""

    def __init__(self, text: str) -> None:
        self.name, _, numbers = text.partition(":")
        self.k, self.eta = 0, None
        if self.name == "consistency":
            k, comma, eta = numbers.partition(",eta=")
            self.k, self.eta = int(k), float(eta) if comma else None
            if self.k < 1 or not (self.eta is None or 0 < self.eta < np.inf):
                raise ValueError
            return
        highest = {"confidence": 1.0, "margin": 1.0, "entropy": sys.float_info.max}[self.name]
        self.never = -np.inf if self.name == "entropy" else np.inf
        levels, _, temperatures = numbers.partition(",t=")
        self.levels = [float(part) for part in levels.split("/")]
        self.temperatures = [float(part) for part in (temperatures or "1").split("/")]
        if not all(0 <= level <= highest or level == self.never for level in self.levels):
            raise ValueError
        if not all(0 < t < np.inf for t in self.temperatures):
            raise ValueError

    def observe(self, k: int, logits: Array, memory: list[Array]) -> tuple[Array, list[Array]]:
        if self.k:
            return self._agree(logits, memory)
        level = np.float32(_at(self.levels, k, self.never))
        p = _softmax(logits / np.float32(_at(self.temperatures, k, 1.0)))
        if self.name == "confidence":
            return p.max(1) >= level, []
        if self.name == "margin":
            second, first = np.partition(p, -2, axis=1)[:, -2:].T
            return first - second >= level, []
        smallest = np.finfo(np.float32).tiny
        return -(p * np.log(np.maximum(p, smallest))).sum(1) <= level, []

    def _agree(self, logits: Array, memory: list[Array]) -> tuple[Array, list[Array]]:
        now = logits.argmax(1) if self.eta is None else logits[:, 0]
        count = np.zeros(len(logits), np.int64)
        if memory:
            before, count = memory
            same = now == before if self.eta is None else abs(now - before) < np.float32(self.eta)
            count = np.where(same, count + 1, 0)
        return count >= self.k, [now, count]


class StagedModel:
    """An exported folder, read and checked.

    Attributes:
        folder: where it lies.
        manifest: all that it says of itself.
        class_names: K of them; empty where the network gives a value.
        num_exits: E.
        exit_macs: cumulative multiply-adds of each exit.
        policy: who leaves.

    Args:
        folder: what `exeunt export --target onnx` wrote.
        threads: that a stage runs on; 0 for as many as there are cores.
        policy: spec of another policy than the stored one.
        share: one pool of threads for all stages. It is for programs with no other use for
            onnxruntime, which then opens no session with threads of its own in this process.
            Otherwise each stage has its threads, and those of the others sleep.

    Raises:
        RunnerError: when a file is missing, is not the one that was written, or the manifest does
            not describe the files; the message names it.
    """

    def __init__(
        self, folder: str | Path, threads: int = 0, policy: str | None = None, share: bool = False
    ) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder / MANIFEST)
        try:
            self._take_manifest(policy)
            self._sessions = self._open(_options(threads, share))
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise self._lies(f"{type(error).__name__}: {error}") from error

    def _take_manifest(self, policy: str | None) -> None:
        says = self.manifest
        self.class_names = tuple(says["class_names"])
        self._stages = says["stages"]
        self.num_exits = len(self._stages)
        self.exit_macs = tuple(stage["macs"] for stage in self._stages)
        self.policy = Policy(says["policy"] if policy is None else policy)
        self._transform = dict(says["transform"])
        self.image_shape = tuple(says["image"]["shape"])
        channels = {"RGB": 3, "L": 1}[self._transform["mode"]]
        if self.image_shape != (channels, *self._transform["image_size"]):
            raise self._lies("image and transform do not fit each other")

    def _lies(self, what: str) -> RunnerError:
        return RunnerError(f"{self.folder / MANIFEST}: {what}")

    def _open(self, options: Any) -> list[Any]:
        """Reads every stage's file once, checks it, and opens it."""
        import onnxruntime

        hashes = {stage["sha256"]: stage["file"] for stage in self._stages}
        shapes = {self.manifest["image"]["name"]: [*self.image_shape]}
        sessions = []
        for stage in self._stages:
            file = self.folder / stage["file"]
            data = _bytes(file)
            found = hashlib.sha256(data).hexdigest()
            if found != stage["sha256"]:
                other = f"is {hashes[found]}" if found in hashes else "has other contents"
                raise RunnerError(f"{file}: not the file that was exported; it {other}")
            try:
                session = onnxruntime.InferenceSession(data, options, providers=_PROVIDERS)
            except Exception as error:  # onnxruntime has no common base for what it raises
                raise RunnerError(f"{file}: onnxruntime cannot open it ({error})") from error
            outputs = {one["name"]: one["shape"] for one in stage["outputs"]}
            self._compare(file, session.get_outputs(), outputs)
            known = {name: shapes[name] for name in stage["inputs"] if name in shapes}
            self._compare(file, session.get_inputs(), known)
            if outputs[stage["logits"]] != [len(self.class_names) or 1]:
                raise self._lies(f"the logits of {file.name} do not fit its class names")
            shapes = {name: shapes[name] for name in stage["passed_on"]} | outputs
            sessions.append(session)
        return sessions

    def _compare(self, file: Path, tensors: list[Any], said: dict[str, list[int]]) -> None:
        if (found := {one.name: list(one.shape[1:]) for one in tensors}) != said:
            raise self._lies(f"{file.name} has {found}, not {said}")

    def load(self, path: str | Path) -> Array:
        """The image in a file (jpeg, png, webp, bmp) as the network takes it: `transform` of it.

        Raises:
            RunnerError: when it cannot be decoded.
        """
        try:
            with Path(path).open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(file, formats=("JPEG", "PNG", "WEBP", "BMP"))
                image.load()
        except Exception as error:  # on bad bytes the decoders raise almost anything
            raise RunnerError(f"{path}: not a readable image ({error})") from error
        return self.transform(image)

    def transform(self, image: Image.Image) -> Array:
        """An image of any size and mode as the network takes it, float32 (C, H, W)."""
        says = self._transform
        image = _converted(_upright(image), says["mode"])
        height, width = says["image_size"]
        scale = says["crop_fraction"] * min(image.width / width, image.height / height)
        w, h = min(scale * width, image.width), min(scale * height, image.height)
        kind = Image.Resampling[says["interpolation"].upper()]
        left, top = int((image.width - w) / 2), int((image.height - h) / 2)
        image = image.resize((width, height), kind, box=(left, top, left + w, top + h))
        pixels = np.asarray(image).reshape(height, width, -1).astype(np.float32)
        mean, std = np.array(says["mean"], np.float32), np.array(says["std"], np.float32)
        return np.ascontiguousarray(((pixels / np.float32(255) - mean) / std).transpose(2, 0, 1))

    def predict(self, images: Sequence[Array] | Array) -> Prediction:
        """Classifies a batch; each stage runs on those alone who are still in.

        Args:
            images: N of them, each as `load` and `transform` give it, or an array (N, C, H, W).

        Raises:
            RunnerError: there are none, or they have another shape.
        """
        batch = np.asarray(images, np.float32)
        if len(batch) == 0 or batch.shape[1:] != self.image_shape:
            shape = "x".join(map(str, self.image_shape))
            raise RunnerError(f"images must be an array of Nx{shape}, N >= 1, not {batch.shape}")
        state = {self.manifest["image"]["name"]: batch}
        waiting = np.arange(len(batch))
        exit_index, rows = np.full(len(batch), self.num_exits - 1), [0] * self.num_exits
        taken = np.zeros((len(batch), len(self.class_names) or 1), np.float32)
        memory: list[Array] = []
        for k, stage in enumerate(self._stages):
            rows[k] = len(waiting)
            logits = self._step(k, state)
            if k == self.num_exits - 1:
                taken[waiting] = logits
                break
            leave, memory = self.policy.observe(k, logits, memory)
            taken[waiting[leave]], exit_index[waiting[leave]] = logits[leave], k
            keep = [*stage["passed_on"], *(one["name"] for one in stage["outputs"])]
            state = {name: state[name][~leave] for name in keep if name in state}
            waiting, memory = waiting[~leave], [part[~leave] for part in memory]
            if len(waiting) == 0:
                break
        return Prediction(taken, exit_index, tuple(rows))

    def _step(self, k: int, state: dict[str, Array]) -> Array:
        """Runs a stage; `state` gets what it gives."""
        stage, session = self._stages[k], self._sessions[k]
        names = [one["name"] for one in stage["outputs"]]
        found = session.run(names, {name: state[name] for name in stage["inputs"]})
        state.update(zip(names, found, strict=True))
        return state[stage["logits"]]


def digest(manifest: dict[str, Any]) -> str:
    """The hash of a manifest, over all but its own entry `sha256`."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RunnerError(f"{file}: cannot be read ({error.strerror})") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    data = _bytes(path)
    try:
        manifest: dict[str, Any] = json.loads(data)
        form, stored = manifest["format"], manifest.get("sha256")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunnerError(f"{path}: not the manifest of an exported folder ({error})") from error
    if form != FORMAT:
        raise RunnerError(f"{path}: format {form!r}; this program reads {FORMAT}")
    if stored != digest(manifest):
        raise RunnerError(f"{path}: not as it was exported; its hash does not fit")
    return manifest


def _options(threads: int, share: bool) -> Any:
    """How sessions run: without spinning, since only one of them is at work."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if share:
        with suppress(RuntimeError):  # there is a shared pool already
            onnxruntime.set_global_thread_pool_sizes(threads, 1)
        options.use_per_session_threads = False
    else:
        options.intra_op_num_threads = threads
    return options


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _at(values: list[float], k: int, otherwise: float) -> float:
    if len(values) == 1:
        return values[0]
    return values[k] if k < len(values) else otherwise


def _upright(image: Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing about the orientation
        return image


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        pixels = np.clip(np.asarray(image, dtype=np.float64) / 257, 0, 255)
        image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def main(files: list[str]) -> int:
    """Classifies files one by one with the model in this folder; 1 if one cannot be read."""
    model, status = StagedModel(Path(__file__).parent, share=True), 0
    for file in files:
        try:
            taken = model.predict([model.load(file)])
        except RunnerError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        answer: dict[str, Any] = {"value": float(taken.logits[0, 0])}
        if model.class_names:
            best, share = taken.class_index[0], float(taken.probabilities.max())
            answer = {"class": model.class_names[best], "probability": share}
        print(json.dumps({"file": file, **answer, "exit": int(taken.exit_index[0]) + 1}))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
