"""A job: all images of DATA through one network, into a folder of results."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from exeunt.device import on_threads
from exeunt.errors import ExeuntError, ExeuntNote
from exeunt.locks import locked
from exeunt.policies import Policy
from exeunt.progress import Bar, OnProgress
from exeunt.score.blocks import Block
from exeunt.score.engine import engine_named
from exeunt.score.inputs import open_inputs
from exeunt.score.results import Results, Scored, write_shard
from exeunt.score.scorer import Scorer

BLOCK_SIZE = 512


@dataclass(frozen=True)
class ScoreBlock:
    """The work on one block: its images are scored, and its shard is written where that is done.

    Attributes:
        scorer: of the images.
        folder: of the results.
    """

    scorer: Scorer
    folder: Path

    def __call__(self, numbered: tuple[int, Block]) -> int:
        """How many images the block has, which is given with its number."""
        number, block = numbered
        names: list[str] = []

        def images() -> Iterator[Any]:
            for name, image in block.images():
                names.append(name)
                yield image

        columns = self.scorer.score(images())
        write_shard(self.folder, number, names, columns)
        return len(names)


def score_images(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    policy: str | Policy | None = None,
    engine: str = "local",
    workers: int | None = 1,
    address: str | None = None,
    block_size: int = BLOCK_SIZE,
    batch_size: int | None = None,
    threads: int = 1,
    device: str = "cpu",
    resume: bool = False,
    on_progress: OnProgress | None = None,
) -> Scored:
    """Scores images without labels, however many, into a folder of parquet shards.

    The images are cut into blocks; each is one worker's work, and one shard, which the worker
    writes: on a cluster all nodes must have the images and the folder under one name. It grows
    shard by shard, each whole or not there, so a job whose driver, worker or node was killed goes
    on with `resume`, and no image is in it twice. A shard has a row for each image: `name`, and
    what `Scorer` gives.

    Args:
        model: run folder, weights file, name of shipped weights, or exported folder.
        data: a folder, a tar shard, a parquet file or a CSV, or a folder of shards, see
            `exeunt.score.inputs.open_inputs`.
        out: the folder of results.
        policy: when images leave; the stored one if None.
        engine: `"local"` or `"ray"`.
        workers: processes, each with a network of its own; None for one on each core, 1 for this
            process with the engine `"local"`.
        address: of a Ray cluster.
        block_size: most images of a block.
        batch_size: images that a stage runs on at once; by default as many as it takes fastest.
        threads: of the processor, for each worker.
        device: that weights run on.
        resume: go on with the job in `out`, if it has begun.
        on_progress: called after every block; a bar on a terminal without it.

    Raises:
        ExeuntError: when the model, the images or the folder cannot be used, or another process
            writes into it.
        WriteError: when the disk is full; a later call goes on from there.
    """
    if workers is not None and workers < 1:
        raise ExeuntError(f"workers must be at least 1, not {workers}")
    run, out = engine_named(engine, address), Path(out)
    scorer = Scorer(model, policy, device=device, threads=threads, batch_size=batch_size)
    with on_threads(torch.get_num_threads()):
        network = scorer.open()
        inputs = open_inputs(Path(data), block_size)
        if inputs.left_out:
            warnings.warn(inputs.left_out.note, ExeuntNote, stacklevel=2)
        about = {
            "weights": network.fingerprint(),
            "policy": network.policy_spec,
            "images": len(inputs),
            "names": inputs.digest,
            "block_size": block_size,
        }
        with locked(out.with_name(f".{out.name}.exeunt.lock"), out):
            results = Results(out, about, resume)
            done = results.done()
            blocks = [one for one in enumerate(inputs.blocks) if one[0] not in done]
            start, now = time.perf_counter(), sum(len(block) for _, block in blocks)
            with Bar("images", len(inputs), on_progress) as bar:
                bar.advance(len(inputs) - now)
                work = ScoreBlock(scorer, out.absolute())
                for _, count in run(work, blocks, workers, address):
                    bar.advance(count)
            seconds = time.perf_counter() - start
            results.tidy()
            exits = network.exit_macs
            return results.summary(len(exits), exits[-1], now, seconds)
