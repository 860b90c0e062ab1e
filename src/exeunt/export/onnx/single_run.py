"""The one graph of a folder, open."""

from __future__ import annotations

import hashlib

import onnxruntime

from exeunt.errors import ExeuntError
from exeunt.runner import StagedModel
from exeunt.runner.array import Array
from exeunt.runner.manifest import bytes_of


class SingleGraph:
    """Runs all stages by one file, as a host without a loop does.

    Args:
        model: the folder that holds it.
        threads: that it runs on; 0 for as many as there are cores.

    Raises:
        ExeuntError: the file is not the one that was written.
        RunnerError: it cannot be read.
    """

    def __init__(self, model: StagedModel, threads: int = 0) -> None:
        says = model.manifest["single"]
        file = model.folder / says["file"]
        data = bytes_of(file)
        if hashlib.sha256(data).hexdigest() != says["sha256"]:
            raise ExeuntError(f"{file}: not the file that was exported; it has other contents")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
        (self._image,), self._outputs = says["inputs"], says["outputs"]

    def run(self, image: Array) -> tuple[Array, int]:
        """Logits (K) of the exit that an image (C, H, W) takes, and that exit, from 0."""
        logits, (exit_index,) = self._session.run(self._outputs, {self._image: image[None]})
        return logits[0], int(exit_index)
