"""Work on a cluster, or on this machine, by Ray Data."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from exeunt.errors import ExeuntError
from exeunt.score.engine import Work


def run_ray(
    work: Work, blocks: Sequence[Any], workers: int | None, address: str | None = None
) -> Iterator[tuple[int, Any]]:
    """As `Engine` has it: one actor of Ray Data for each worker, which lives as long as the job.

    Where an actor or its node dies, Ray starts another and gives it the blocks. Files are read by
    the actors, so all nodes must see them under the same names, and have exeunt installed.

    Args:
        work: done by the actors.
        blocks: all of them.
        workers: actors, of one core each; as many as the cluster has cores if None.
        address: of a cluster that runs, `auto` for that of this machine; None starts one here, if
            this process is in none yet.

    Raises:
        ExeuntError: Ray is not installed, there is no cluster at the address, or as `work`.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ExeuntError(f"engine ray: {error}: pip install 'exeunt[ray]'") from error
    if not blocks:
        return
    if not ray.is_initialized():
        try:
            quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
            ray.init(address=address, include_dashboard=None if address else False, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            said = str(error).strip().partition("\n")[0]
            raise ExeuntError(f"--address {address}: no Ray cluster ({said})") from error
    cores = int(ray.cluster_resources().get("CPU", 1))
    count = max(1, min(cores if workers is None else workers, len(blocks)))
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    shared = ray.put(
        (work, list(blocks), str(Path.cwd()))
    )  # held until the end, for actors that start anew
    numbers = ray.data.from_items(list(range(len(blocks))), override_num_blocks=len(blocks))
    done = numbers.map_batches(  # items are there already: no task needs a core beside the actors
        _Actor,
        fn_constructor_args=(shared,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=count),
        num_cpus=1,
    )
    for row in done.iter_rows():
        found, wrong = pickle.loads(row["found"])  # of our own actors
        if wrong is not None:
            raise ExeuntError(wrong)
        yield int(row["item"]), found


class _Actor:
    """Does the work in a process of Ray's.

    Args:
        shared: where Ray keeps the work and the blocks.
    """

    def __init__(self, shared: Any) -> None:
        import ray

        self._work, self._blocks, folder = ray.get(shared)
        if Path(folder).is_dir():  # so that names of files mean what they mean to the driver
            os.chdir(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"item": batch["item"], "found": [pickle.dumps(self._one(n)) for n in batch["item"]]}

    def _one(self, number: int) -> tuple[Any, str | None]:
        """What the work gives, or what is wrong with its input, which is not tried again."""
        try:
            return self._work(self._blocks[number]), None
        except ExeuntError as error:
            return None, str(error)
