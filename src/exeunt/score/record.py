"""Recording by an engine: all exits on labelled images, in other processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exeunt.compiled import use_channels_last
from exeunt.data import Sample, UnreadableTally
from exeunt.errors import ExeuntError
from exeunt.evaluate.record import batches, run_exits
from exeunt.evaluate.record_to import Recorded
from exeunt.evaluate.table import DTYPES
from exeunt.export.onnx.reader import open_exits
from exeunt.own_code import import_own, imported
from exeunt.score.engine import engine_named
from exeunt.trained import TrainedModel

_BLOCK_BATCHES = 8


@dataclass(frozen=True)
class RecordBlock:
    """The work on some samples: what all exits say of the readable ones, rounded.

    Attributes:
        model: weights, or an exported folder.
        batch_size: images that go through the net at once.
        dtype: name of what logits are rounded to.
        device: that weights run on.
        modules: of the user's own, to be imported first.
    """

    model: str
    batch_size: int
    dtype: str
    device: str
    modules: tuple[str, ...]

    def __call__(self, samples: Sequence[Sample]) -> tuple[Any, Any, dict[str, str]]:
        """Indices (N,) among the samples, logits (E N K), and why others cannot be read."""
        for module in self.modules:
            if module not in imported:
                import_own(module)
        torch.set_num_threads(1)  # one worker for each core
        trained = _opened(self.model, self.device)
        tally = UnreadableTally(len(samples), allowed=1)
        source = batches(samples, trained.transform, 0, self.batch_size, 0, tally, None)
        names, dtype = [sample.name for sample in samples], DTYPES[self.dtype]
        indices, logits = [np.empty(0, np.int64)], list[NDArray[Any]]()

        def keep(batch: Any, exits: torch.Tensor) -> None:
            indices.append(batch.indices.numpy())
            logits.append(exits.numpy())

        run_exits(trained.net, source, names, dtype, keep)
        whole = np.concatenate(logits, 1) if logits else None
        return np.concatenate(indices), whole, tally.reasons


class RecordElsewhere:
    """Runs samples by an engine; what it gives is what they give here, byte for byte.

    To be given to `record_split` as `elsewhere`. Blocks are whole batches, so no image is run in
    other company than here. What a quick worker has done waits for the blocks before it.

    Args:
        model: weights, or an exported folder.
        samples: all of the recording.
        batch_size: images that go through the net at once.
        dtype: of the logits, `"float32"` or `"float16"`.
        device: that weights run on.
        engine: `"local"` or `"ray"`.
        workers: processes; one for each core if None.
        address: of a Ray cluster.

    Raises:
        ExeuntError: when there is no such engine.
    """

    def __init__(
        self,
        model: str,
        samples: Sequence[Sample],
        *,
        batch_size: int = 64,
        dtype: str = "float32",
        device: str = "cpu",
        engine: str = "ray",
        workers: int | None = None,
        address: str | None = None,
    ) -> None:
        self._run, self._samples = engine_named(engine, address), samples
        self._work = RecordBlock(model, batch_size, dtype, device, tuple(imported))
        self._workers, self._address = workers, address

    def __call__(self, start: int) -> Iterator[Recorded]:
        """Samples from that one on, in their order."""
        step = _BLOCK_BATCHES * self._work.batch_size
        starts = range(start, len(self._samples), step)
        blocks = [self._samples[first : first + step] for first in starts]
        early: dict[int, Any] = {}
        turn = 0
        for place, found in self._run(self._work, blocks, self._workers, self._address):
            early[place] = found
            while turn in early:
                indices, logits, unreadable = early.pop(turn)
                if logits is None:
                    logits = np.empty((0, 0, 0), np.float32)
                yield Recorded(
                    torch.from_numpy(indices + starts[turn]),
                    torch.from_numpy(logits),
                    unreadable,
                    starts[turn] + len(blocks[turn]),
                )
                turn += 1
        if early:
            raise ExeuntError(f"the engine gave no result for block {turn} of {len(blocks)}")


def record_elsewhere(
    model: str, samples: Sequence[Sample], *, engine: str, workers: int, **settings: Any
) -> RecordElsewhere | None:
    """What runs samples by an engine; None for this process, which loads images in its own way.

    Args:
        model: as `RecordElsewhere` has it, and so are the others.
        samples: all of the recording.
        engine: `"local"` means this process.
        workers: 0 for one on each core.
        settings: the rest.
    """
    if engine == "local" and settings.get("address") is None:
        return None
    return RecordElsewhere(model, samples, engine=engine, workers=workers or None, **settings)


@lru_cache(maxsize=1)
def _opened(model: str, device: str) -> TrainedModel:
    trained = open_exits(model, device, 1)
    use_channels_last(trained.net)
    return trained
