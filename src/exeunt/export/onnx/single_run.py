"""The one graph of a folder, open."""

from __future__ import annotations

from exeunt.runner import OnnxRuntime, StagedModel
from exeunt.runner.array import Array
from exeunt.runner.manifest import exported_bytes


class SingleGraph:
    """Runs all stages by one file, as a host without a loop does.

    Args:
        model: the folder that holds it.
        threads: that it runs on; 0 for as many as there are cores.

    Raises:
        RunnerError: the file cannot be read, or is not the one that was written.
    """

    def __init__(self, model: StagedModel, threads: int = 0) -> None:
        says = model.manifest["single"]
        self._session = OnnxRuntime(exported_bytes(model.folder, says), threads)
        (self._image,), (self._logits, self._exit_index) = says["inputs"], says["outputs"]

    def run(self, image: Array) -> tuple[Array, int]:
        """Logits (K) of the exit that an image (C, H, W) takes, and that exit, from 0."""
        found = self._session.run({self._image: image[None]})
        return found[self._logits][0], int(found[self._exit_index][0])
