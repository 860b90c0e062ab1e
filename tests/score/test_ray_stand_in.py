"""The engine for Ray without Ray: actors that take blocks in turn, are sent what they need as
bytes, answer in another order than they were asked in, and die and are made anew.

`test_ray.py` has Ray itself, where it is installed.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import exeunt
from exeunt.data import open_source
from exeunt.evaluate.splits import record_split
from exeunt.score.record import RecordElsewhere
from exeunt.trained import TrainedModel

pytest.importorskip("pyarrow")
from pyarrow import parquet


class Numbers:
    """As much of a data set of Ray's as the engine asks for."""

    def __init__(self, items: Sequence[int], cluster: Cluster) -> None:
        self.items, self.cluster = items, cluster

    def map_batches(
        self, kind: Any, *, fn_constructor_args: Any, compute: int, **sizes: int
    ) -> Any:
        assert sizes == {"batch_size": 1, "num_cpus": 1}
        self.cluster.asked.append(compute)
        self.make = lambda: kind(*pickle.loads(pickle.dumps(fn_constructor_args)))
        self.actors = [self.make() for _ in range(compute)]
        return self

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        """Pairs of answers the wrong way round; the first actor dies after its second block."""
        waiting = []
        for place, item in enumerate(self.items):
            if place == 2 * len(self.actors):
                self.actors[0] = self.make()
            waiting.append(self.actors[place % len(self.actors)]({"item": [item]}))
            if len(waiting) == 2 or place == len(self.items) - 1:
                for batch in reversed(waiting):
                    yield {key: column[0] for key, column in batch.items()}
                waiting = []


class Cluster:
    """Three cores; notes how many actors were asked for, and where it was looked for."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.asked: list[int] = []
        self.addresses: list[str | None] = []

    def start(self, address: str | None, **quiet: Any) -> None:
        if address == "nowhere:1":
            raise ConnectionError("nobody is there\nand more")
        self.addresses.append(address)

    def put(self, value: Any) -> int:
        self.kept.append(pickle.dumps(value))
        return len(self.kept) - 1

    def modules(self) -> dict[str, ModuleType]:
        ray, data = ModuleType("ray"), ModuleType("ray.data")
        context = SimpleNamespace(enable_progress_bars=True)
        vars(data).update(
            DataContext=SimpleNamespace(get_current=lambda: context),
            ActorPoolStrategy=lambda size: size,
            from_items=lambda items, override_num_blocks: Numbers(items, self),
        )
        vars(ray).update(
            data=data,
            init=self.start,
            is_initialized=lambda: bool(self.addresses),
            cluster_resources=lambda: {"CPU": 3.0},
            put=self.put,
            get=lambda place: pickle.loads(self.kept[place]),
        )
        return {"ray": ray, "ray.data": data}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("part-*.parquet"))
    return [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]


def test_scores_are_those_of_this_process(
    cluster: Cluster, weights: Path, images: Path, tmp_path: Path
) -> None:
    (images / "cut.png").write_bytes(b"\x89PNG\r\n")
    told: list[tuple[int, int]] = []
    try:
        here = exeunt.score_images(weights, images, tmp_path / "here", workers=1, block_size=4)
        there = exeunt.score_images(
            *(weights, images, tmp_path / "there"),
            engine="ray",
            workers=None,
            block_size=4,
            on_progress=lambda *now: told.append(now),
        )
    finally:
        (images / "cut.png").unlink()
    assert rows(tmp_path / "there") == rows(tmp_path / "here")
    assert (there.images, there.failures, there.exit_shares) == (31, 1, here.exit_shares)
    assert (cluster.asked, cluster.addresses) == ([3], [None])
    assert told[-1] == (31, 31)
    assert len({done for done, _ in told}) >= 8


def test_a_recording_is_byte_for_byte_that_of_this_process(
    cluster: Cluster, weights: Path, images: Path, tmp_path: Path
) -> None:
    trained = TrainedModel.load(str(weights))
    samples = open_source(images).pools["all"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        settings: dict[str, Any] = {"batch_size": 3, "workers": 0}
        record_split(trained, samples, "all", out=tmp_path / "here.exits", **settings)
        settings["elsewhere"] = RecordElsewhere(
            str(weights), samples, batch_size=3, engine="ray", workers=2
        )
        record_split(trained, samples, "all", out=tmp_path / "there.exits", **settings)
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "there.exits").read_bytes() == (tmp_path / "here.exits").read_bytes()
    assert cluster.asked == [2]


def test_what_is_wrong_is_told_and_what_was_scored_stays(
    cluster: Cluster, weights: Path, images: Path, tmp_path: Path
) -> None:
    import pyarrow

    content = [path.read_bytes() for path in sorted(images.rglob("*.png"))]
    path, out = tmp_path / "x.parquet", tmp_path / "out"
    parquet.write_table(pyarrow.table({"bytes": content}), path, row_group_size=4)
    whole = path.read_bytes()

    def remove(done: int, total: int) -> None:
        if done:
            path.write_bytes(b"")

    settings: dict[str, Any] = {"engine": "ray", "workers": 2, "block_size": 4}
    with pytest.raises(exeunt.ExeuntError, match=r"x\.parquet: not a whole parquet file"):
        exeunt.score_images(weights, path, out, on_progress=remove, **settings)
    assert 0 < len(rows(out)) < 30
    path.write_bytes(whole)
    found = exeunt.score_images(weights, path, out, resume=True, **settings)
    assert (found.images, len(rows(out))) == (30, 30)


def test_a_cluster_that_is_not_there_is_named(
    cluster: Cluster, weights: Path, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(exeunt.ExeuntError, match=r"nowhere:1: no Ray cluster \(nobody is there\)$"):
        exeunt.score_images(
            weights, images, tmp_path / "out", engine="ray", address="nowhere:1", block_size=4
        )


def test_without_ray_its_extra_is_named(
    weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(exeunt.ExeuntError, match=r"engine ray: .*pip install 'exeunt\[ray\]'"):
        exeunt.score_images(weights, images, tmp_path / "out", engine="ray")
