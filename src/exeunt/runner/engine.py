"""What runs a stage's file: a session of onnxruntime, or of OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from exeunt.runner.array import Array


class Session(Protocol):
    """A stage that is open.

    Attributes:
        inputs: shapes of what it takes by name, without the batch.
        outputs: shapes of what it gives, likewise, in order.
    """

    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Runs it on arrays (N, ...)."""
        ...


class OnnxRuntime:
    """A session of onnxruntime. Arrays are neither copied on the way in nor on the way out.

    Args:
        data: the file.
        threads: that it runs on; 0 for as many as there are cores. They do not spin, since only
            one stage is at work.
        share: one pool of threads for all sessions of this process, see `StagedModel`.
    """

    def __init__(self, data: bytes, threads: int = 0, share: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if share:
            try:
                onnxruntime.set_global_thread_pool_sizes(threads, 1)
            except Exception as error:  # of a type that has no public name
                if "already" not in str(error):
                    raise
            options.use_per_session_threads = False
        else:
            options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(data, options, providers=providers)
        self.inputs = {one.name: list(one.shape[1:]) for one in self._session.get_inputs()}
        self.outputs = {one.name: list(one.shape[1:]) for one in self._session.get_outputs()}
        self._names = list(self.outputs)

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))


class OpenVino:
    """A model compiled by OpenVINO for the CPU, in float32 where the file has float32.

    Without being told so it would round to bfloat16 on processors that have it. It is compiled for
    one image, and a batch goes through image by image: with the batch left free, ReX takes several
    times as long.

    Args:
        data: the file.
        threads: that it runs on; 0 for as many as there are cores.
        share: means nothing here, where all models of a process have one pool.
    """

    def __init__(self, data: bytes, threads: int = 0, share: bool = False) -> None:
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        model = core.read_model(data)
        self.inputs = {one.any_name: _sizes(one) for one in model.inputs}
        self.outputs = {one.any_name: _sizes(one) for one in model.outputs}
        model.reshape({name: [1, *sizes] for name, sizes in self.inputs.items()})
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        images = len(next(iter(feeds.values())))
        found = [self._one({n: x[k : k + 1] for n, x in feeds.items()}) for k in range(images)]
        if images == 1:
            return found[0]
        return {name: np.concatenate([one[name] for one in found]) for name in self.outputs}

    def _one(self, feeds: dict[str, Array]) -> dict[str, Array]:
        found = self._request.infer(feeds, share_inputs=True)
        return dict(zip(self.outputs, found.to_tuple(), strict=True))


def _sizes(port: Any) -> list[int]:
    """The shape of an input or output, without the batch."""
    return [size.get_length() for size in list(port.partial_shape)[1:]]


ENGINES: dict[str, Callable[[bytes, int, bool], Session]] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
"""By name: from a stage's file, threads and `share` to an open session."""
