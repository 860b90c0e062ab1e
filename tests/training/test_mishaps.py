"""What may happen in the middle of a run: a file goes, a loading process dies, the disk is full."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from exeunt.data import Augment, SplitSpec, make_splits, open_source
from exeunt.data.dataset import EpochBatches
from exeunt.errors import ExeuntError
from exeunt.training import Execution, Quiet, TrainConfig, train

CONFIG = TrainConfig(
    "resnet_cifar",
    {"depth": 8, "width": 8},
    image_size=32,
    epochs=3,
    batch_size=16,
    ema_decay=0.8,
    exits="last",
)


class At(Quiet):
    """Does something in the given batch of the given epoch (both from 0), or after its last one
    where `batch` is None; and listens.
    """

    def __init__(self, epoch: int, batch: int | None, deed: Any) -> None:
        self.at, self.deed = (epoch, batch), deed
        self.unreadable: Mapping[str, str] = {}

    def step(self, epoch: int, batch: int, *rest: Any) -> None:
        if (epoch, batch) == self.at:
            self.deed()

    def epoch(self, entry: dict[str, Any]) -> None:
        if (entry["epoch"] - 1, None) == self.at:
            self.deed()

    def finish(self, info: Any, unreadable: Mapping[str, str]) -> None:
        self.unreadable = unreadable


def curve(run: Path) -> list[str]:
    """`metrics.csv` but for the columns of time."""
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    return [",".join(row[:1] + row[3:]) for row in rows]


@pytest.fixture(scope="module")
def whole(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The curve of the run that nothing happens to."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(CONFIG, colours, out)
    return curve(out)


@pytest.mark.parametrize("mishap", ["gone", "cut short"])
def test_a_file_that_goes_in_the_middle_of_an_epoch_is_named_and_skipped(
    colours: Path, tmp_path: Path, mishap: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(colours, data)
    for path in sorted((data / "train").rglob("*.png")):  # 216 images: one may be unreadable
        for copy in "ab":
            shutil.copy(path, path.with_stem(path.stem + copy))
    samples = make_splits(open_source(data), SplitSpec()).train
    _, _, later, *_ = EpochBatches(len(samples), CONFIG.batch_size, CONFIG.seed)
    lost = samples[later[0][1]]  # which is in no batch before the third

    def spoil() -> None:
        path = data / lost.name
        if mishap == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:200])

    listen = At(0, 0, spoil)
    train(CONFIG, data, tmp_path / "run", execution=Execution(progress=listen))
    assert [*listen.unreadable] == [lost.name]
    assert len(curve(tmp_path / "run")) == 1 + CONFIG.epochs


def test_a_loading_process_that_dies_stops_the_run_with_its_state_intact(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[str]
) -> None:
    order = Augment.__call__
    parent = os.getpid()

    def die_in_the_second_epoch(self: Augment, image: Image.Image, rng: Any) -> Any:
        if os.getpid() != parent and (tmp_path / "now").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return order(self, image, rng)

    monkeypatch.setattr(Augment, "__call__", die_in_the_second_epoch)
    execution = Execution(workers=1, progress=At(0, None, (tmp_path / "now").touch))
    with pytest.raises(ExeuntError, match=r"a process that loads images was killed \("):
        train(CONFIG, colours, tmp_path / "run", execution=execution)
    assert curve(tmp_path / "run") == whole[:2]
    (tmp_path / "now").unlink()
    train(CONFIG, colours, tmp_path / "run", resume=True, execution=Execution(workers=1))
    assert curve(tmp_path / "run") == whole
    assert not multiprocessing.active_children()


def test_a_full_disk_stops_the_run_with_its_state_intact(
    colours: Path, tmp_path: Path, whole: list[str]
) -> None:
    """Files may grow to 64 KiB all of a sudden: writing fails as it does on a full disk."""
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, most))

    out = tmp_path / "run"
    try:
        with pytest.raises(ExeuntError, match=r"(best|last)\.safetensors: cannot be written"):
            train(CONFIG, colours, out, execution=Execution(progress=At(1, 2, fill)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in out.iterdir()) == [
        *("best.safetensors", "last.safetensors", "metrics.csv", "run.json")
    ]
    assert curve(out) == whole[:2]
    train(CONFIG, colours, out, resume=True)
    assert curve(out) == whole
