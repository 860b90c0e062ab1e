"""What scoring many images costs: beside the network, by refilled batches, and by more workers.

    python benchmarks/scale.py MODEL DATA [--limit N] [--engines local ray] [--workers 1 2]

What is compared runs in turn, several times, in one run. The parts of an image and the batches are
told in seconds of the processor, which other work on the machine lengthens less than the clock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from exeunt.data import UnreadableImage
from exeunt.score import Scorer, score_images
from exeunt.score.inputs import open_inputs
from exeunt.score.refill import run_refilled
from exeunt.score.results import write_shard
from exeunt.score.scorer import _opened


class Watched:
    """A network whose parts are timed, and whose calls are counted."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.seconds = {"step": 0.0, "prepare": 0.0}
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def _timed(self, name: str, *arguments: Any) -> Any:
        start = time.process_time()
        found = getattr(self._network, name)(*arguments)
        self.seconds[name] += time.process_time() - start
        return found

    def step(self, *arguments: Any) -> Any:
        self.calls += 1
        return self._timed("step", *arguments)

    def prepare(self, *arguments: Any) -> Any:
        return self._timed("prepare", *arguments)


def parts_of_an_image(scorer: Scorer, data: Path, limit: int) -> None:
    """Milliseconds of the processor for one image, by what they are spent on."""
    network, images = Watched(scorer.open()), 0
    spent = dict.fromkeys(("read and decode", "shard"), 0.0)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as place:

        def opened() -> Iterator[tuple[int, Any]]:
            for number, (_, image) in enumerate(block.images()):
                begin = time.process_time()
                try:
                    picture = _opened(image)
                except UnreadableImage:
                    continue
                finally:
                    spent["read and decode"] += time.process_time() - begin
                yield number, network.prepare(picture)

        for block in open_inputs(data, 512).blocks:
            if images >= limit:
                break
            list(run_refilled(network, opened(), network.at_once))
            images += len(block)
        whole = time.process_time() - start
        named = dict(block.images())
        columns = scorer.score(named.values())
        write_shard(Path(place), 0, list(named), columns)  # which loads what it needs
        begin = time.process_time()
        for number in range(8):
            write_shard(Path(place), number, list(named), columns)
        spent["shard"] = (time.process_time() - begin) / 8 / len(block) * images
    spent["transform"], spent["stages"] = network.seconds["prepare"], network.seconds["step"]
    spent["the rest"] = whole - sum(spent.values()) + spent["shard"]
    total = sum(spent.values())
    print(f"\none image of {images}, milliseconds of the processor, one thread")
    for name, seconds in spent.items():
        print(f"  {name:16} {1000 * seconds / images:7.3f}  {100 * seconds / total:5.1f} %")
    print(f"  {'all':16} {1000 * total / images:7.3f}")


def batches(scorer: Scorer, data: Path, limit: int, rounds: int) -> None:
    """Refilled batches against batches that lose rows."""
    network = scorer.open()
    prepared = []
    for block in open_inputs(data, 512).blocks:
        for _, image in block.images():
            try:
                prepared.append(network.prepare(_opened(image)))
            except UnreadableImage:
                continue
            if len(prepared) == limit:
                break
        if len(prepared) == limit:
            break
    print(f"\n{len(prepared)} images, {rounds} rounds in turn; refilled over losing rows")
    print("  batch  calls of a stage  seconds of the processor (median, least and most)")
    for size in (1, 4, 16, 64):
        ratios, calls = [], {}
        for _ in range(rounds):
            seconds = {}
            for refill in (False, True):
                watched = Watched(network)
                start = time.process_time()
                for _left in run_refilled(watched, enumerate(prepared), size, refill):
                    pass
                seconds[refill], calls[refill] = time.process_time() - start, watched.calls
            ratios.append(seconds[True] / seconds[False])
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {size:5}  {calls[True]:5} / {calls[False]:<8} {told}")


def peak_mib(pid: int) -> float:
    """The most memory that a process has held."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def children() -> list[int]:
    """Processes below this one that work on blocks."""
    parents, found = {}, []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text(encoding="utf-8", errors="replace")
            name = (place / "cmdline").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        parents[int(place.name)] = int(stat.rpartition(")")[2].split()[1])
        if "MapWorker" in name or "multiprocessing.spawn" in name:
            found.append(int(place.name))

    def ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return [pid for pid in found if ours(pid)]


def worked_s(pid: int) -> float:
    """Seconds of the processor that a process has taken."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Seen:
    """What was done by when, and the most memory that a worker held."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float, int]] = []
        self.most_mib = 0.0

    def __call__(self, done: int, total: int) -> None:
        if done:
            workers = children()
            worked = sum(map(worked_s, [os.getpid(), *workers]))
            self.ends.append((time.perf_counter(), worked, done))
            self.most_mib = max(self.most_mib, *map(peak_mib, workers or [os.getpid()]))

    @property
    def rate(self) -> float:
        """Images per second from the end of the first block to that of the last."""
        (begin, _, before), (end, _, after) = self.ends[0], self.ends[-1]
        return (after - before) / (end - begin)

    @property
    def worked_ms(self) -> float:
        """Of the processor for one image, in workers and in this process."""
        (_, begin, before), (_, end, after) = self.ends[0], self.ends[-1]
        return 1000 * (end - begin) / (after - before)


def leave_ray() -> None:
    """Ends Ray's processes, which would work on beside what is measured next."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    while children():
        time.sleep(0.1)


def engines(model: str, data: Path, names: list[str], workers: list[int], rounds: int) -> None:
    """Images per second, over those of the engine that is named first in the same round."""
    print("\nengine  workers  images/s  over the first  processor, ms/image  MiB of a worker")
    ratios: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        first = None
        for name, count in product(names, workers):
            seen = Seen()
            with tempfile.TemporaryDirectory() as place:
                out, jobs = Path(place) / "out", {"engine": name, "workers": count}
                score_images(model, data, out, **jobs, block_size=256, on_progress=seen)
            leave_ray()
            first = first or seen.rate
            ratios.setdefault((name, count), []).append(seen.rate / first)
            print(
                f"{name:7} {count:7}  {seen.rate:8.1f}  {seen.rate / first:14.2f}  "
                f"{seen.worked_ms:19.2f}  {seen.most_mib:15.0f}",
                flush=True,
            )
    for (name, count), found in ratios.items():
        least, most = min(found), max(found)
        middle = statistics.median(found)
        print(f"{name}, {count}: {middle:.2f} of the first ({least:.2f} to {most:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=2048, help="images of the first two parts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=["local"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--only", choices=("parts", "batches", "engines"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    scorer = Scorer(asked.model, threads=1)
    tasks: dict[str, Callable[[], None]] = {
        "parts": lambda: parts_of_an_image(scorer, asked.data, asked.limit),
        "batches": lambda: batches(scorer, asked.data, min(asked.limit, 512), asked.rounds),
        "engines": lambda: engines(
            asked.model, asked.data, asked.engines, asked.workers, asked.rounds
        ),
    }
    for name, task in tasks.items():
        if asked.only in (None, name):
            task()


if __name__ == "__main__":
    main()
