"""The first operators of a network by exeunt's kernels, where exeunt is installed with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from exeunt.runner.array import Array
from exeunt.runner.engine import Session
from exeunt.runner.error import RunnerError
from exeunt.runner.manifest import exported_bytes


class StemSession:
    """A first stage whose beginning runs by the kernels, and whose rest is a session of its own.

    Args:
        stem: `exeunt.native.stem.Stem`.
        image: name of the input.
        image_shape: (C, H, W).
        gives: name of what `stem` makes, which the rest reads.
        rest: the session.
        outputs: names of what the stage gives.
    """

    def __init__(
        self,
        stem: Any,
        image: str,
        image_shape: list[int],
        gives: str,
        rest: Session,
        outputs: list[str],
    ) -> None:
        self._stem, self._rest = stem, rest
        self._image, self._gives, self._names = image, gives, outputs
        shapes = {gives: list(stem.output_shape), **rest.outputs}
        if rest.inputs != {gives: shapes[gives]}:
            raise KeyError(f"the rest reads {rest.inputs}, and {gives} is {shapes[gives]}")
        self.inputs = {image: image_shape}
        self.outputs = {name: shapes[name] for name in outputs}

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        made = {self._gives: self._stem.run(feeds[self._image])}
        found = made | self._rest.run(made)
        return {name: found[name] for name in self._names}


def with_stem(
    folder: Path,
    stage: dict[str, Any],
    shapes: dict[str, list[int]],
    open_session: Callable[[Path, bytes], Session],
    threads: int,
) -> Session | None:
    """The stage by the kernels; None if it has no such way, or they are not here.

    Args:
        folder: where its files lie.
        stage: what the manifest says of it.
        shapes: of the image, by its name.
        open_session: opens a file that was read.
        threads: for the kernels; 0 for as many as there are cores.

    Raises:
        RunnerError: when a file is missing, or is not the one that was written.
        KeyError, TypeError: when the manifest does not describe the files.
    """
    kernels = _kernels()
    if "stem" not in stage or kernels is None:
        return None
    says = stage["stem"]
    weights, rest = (exported_bytes(folder, says[part]) for part in ("weights", "rest"))
    try:
        stem = kernels(says, weights, threads)
    except ValueError as error:
        file = folder / says["weights"]["file"]
        raise RunnerError(f"{file}: not what the manifest says ({error})") from error
    ((image, shape),) = shapes.items()
    outputs = [one["name"] for one in stage["outputs"]]
    session = open_session(folder / says["rest"]["file"], rest)
    return StemSession(stem, image, shape, says["gives"], session, outputs)


def _kernels() -> Callable[[dict[str, Any], bytes, int], Any] | None:
    try:
        native = import_module("exeunt.native").native()
        stem = import_module("exeunt.native.stem").Stem
    except ImportError:
        return None
    return None if native is None else partial(stem, native)
