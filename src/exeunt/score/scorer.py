"""One callable from a batch of columns to columns, for whatever engine has such batches."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from exeunt.data import UnreadableImage, open_image
from exeunt.data.decode import decode
from exeunt.errors import ExeuntError
from exeunt.own_code import import_own, imported
from exeunt.policies import Policy
from exeunt.runner.array import softmax
from exeunt.score.network import Network, open_network
from exeunt.score.refill import run_refilled

IMAGE_COLUMNS = ("image", "bytes", "path")
"""What a column of images may be called, and holds: images of any kind that `Classifier.predict`
takes, files of images as bytes, or names of files."""

Columns = dict[str, list[Any]]


class Scorer:
    """Scores batches of images: `scorer({"bytes": [...]})` gives lists `class`, `label`, ...

    It fits `map_batches` of Ray Data and `map(batched=True)` of Hugging Face `datasets` as it is,
    and can be sent to other processes. Each process opens the network once, when its first batch
    comes; scorers of one model share it. Images of a batch that stay in go on together, so that
    stages run on full batches: give it hundreds of images at a time.

    What it gives of N images, as lists of N of one type each, whatever the images are:

    * `class`, `label`, `probability`: the likeliest class, counted from 0, its name and its
      probability; for regression `value` in their place;
    * `exit`: that the image took, counted from 1; `macs`: multiply-adds up to there;
    * `error`: "", or why an image cannot be read or has logits that are not finite. The rest of
      its row is then -1, "" and NaN, and 0 for exit and multiply-adds: engines take the types of
      columns from the first batch, in which None would have none.

    Args:
        model: run folder, weights file, name of shipped weights, or exported folder of ONNX files.
        policy: when images leave, as an object or a spec; the stored one if None. A policy of your
            own is known to other processes if `exeunt --import` or an entry point brings it.
        keep: columns to hand on as they are, such as names.
        engine: that runs an exported folder, onnxruntime or openvino.
        device: that weights run on.
        threads: of the processor, for each process; None leaves what torch has.
        batch_size: images that a stage runs on at once; by default as many as it takes fastest.

    Raises:
        ExeuntError: when an argument cannot be used. What is wrong with the model shows when it is
            opened: `open` does that at once.
    """

    def __init__(
        self,
        model: str | Path,
        policy: str | Policy | None = None,
        *,
        keep: Sequence[str] = (),
        engine: str | None = None,
        device: str = "cpu",
        threads: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        if isinstance(keep, str):
            raise ExeuntError(f"keep={keep!r}; give a list of columns: [{keep!r}]")
        for name, number in (("threads", threads), ("batch_size", batch_size)):
            if number is not None and number < 1:
                raise ExeuntError(f"{name} must be at least 1, not {number}")
        self.model = str(model)
        self.policy = policy if policy is None or isinstance(policy, str) else policy.spec
        self.keep, self.engine, self.device = tuple(keep), engine, device
        self.threads, self.batch_size = threads, batch_size
        self._modules = tuple(imported)

    def __repr__(self) -> str:
        return f"Scorer({self.model}, {self.policy or 'the stored policy'})"

    def open(self) -> Network:
        """The network, opened in this process if it is not yet.

        Raises:
            ExeuntError: when there is no such model, policy or device, or it is damaged.
        """
        for module in self._modules:
            if module not in imported:
                import_own(module)
        return open_network(self.model, self.policy, self.engine, self.device, self.threads)

    def __call__(self, batch: Mapping[str, Any]) -> Columns:
        """Scores the images of a batch of columns, one of them `image`, `bytes` or `path`.

        Args:
            batch: columns of one length, as lists or arrays.

        Raises:
            ExeuntError: when there is no such column, or it holds what can be no image.
        """
        named = [name for name in IMAGE_COLUMNS if name in batch]
        if not named:
            raise ExeuntError(
                f"no column of images among {', '.join(map(repr, batch)) or 'none'}; "
                f"one must be called {', '.join(IMAGE_COLUMNS[:-1])} or {IMAGE_COLUMNS[-1]}"
            )
        if missing := [name for name in self.keep if name not in batch]:
            raise ExeuntError(f"keep: no column {missing[0]!r} among {', '.join(map(repr, batch))}")
        return {name: list(batch[name]) for name in self.keep} | self.score(batch[named[0]])

    def score(self, images: Iterable[Any]) -> Columns:
        """Scores images of any kind; they are read one by one, as they are needed.

        Args:
            images: files of images as bytes, or what `open_image` takes. None cannot be read.

        Raises:
            ExeuntError: for what can be no image.
        """
        network = self.open()
        errors: list[str] = []

        def readable() -> Iterator[tuple[int, Any]]:
            for number, image in enumerate(images):
                errors.append("")
                try:
                    yield number, network.prepare(_opened(image))
                except UnreadableImage as error:
                    errors[number] = str(error)

        size = self.batch_size or network.at_once
        found = list(run_refilled(network, readable(), size))
        return _columns(network, errors, found)


def _opened(image: Any) -> Any:
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(io.BytesIO(image), "an image")
    if image is None or (isinstance(image, float) and np.isnan(image)):  # as pandas says None
        raise UnreadableImage("an image", "there is none")
    return open_image(image)


def _columns(network: Network, errors: list[str], found: Sequence[Any]) -> Columns:
    """What is told of the images, in their order."""
    names = network.class_names
    nothing = {"class": -1, "label": "", "probability": nan} if names else {"value": nan}
    says = tuple(nothing)
    told: Columns = {
        name: [value] * len(errors) for name, value in {**nothing, "exit": 0, "macs": 0}.items()
    }
    for left in found:
        finite = np.isfinite(left.logits).all(1)
        with np.errstate(invalid="ignore"):  # of those that are not finite
            shares = softmax(left.logits) if names else left.logits
        for number, row, whole in zip(left.numbers.tolist(), shares, finite, strict=True):
            if not whole:
                errors[number] = f"exit {left.exit_index + 1}: its logits are not finite"
                continue
            best = int(row.argmax())
            share = float(row[best])
            for name, value in zip(
                says, (best, names[best], share) if names else (share,), strict=True
            ):
                told[name][number] = value
            told["exit"][number] = left.exit_index + 1
            told["macs"][number] = network.exit_macs[left.exit_index]
    return {**told, "error": errors}
