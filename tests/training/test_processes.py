"""Two processes against one: the same gradients, the same weights, and what a killed one leaves."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from exeunt.data import SplitSpec, Transform, make_splits, open_source, train_loader
from exeunt.data.dataset import EpochBatches
from exeunt.errors import ExeuntError
from exeunt.training import Alone, processes_here

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

# Batch norms keep their statistics, so that nothing but gradients passes between images.
WORKER = """
import sys
from dataclasses import replace
from exeunt.training import Execution, TrainConfig, processes_here, train
from exeunt.training.regimes import REGIMES, Joint

class FrozenNorms(Joint):
    def prepare(self, net, epoch):
        net.eval().requires_grad_(True)

REGIMES.remove("joint")
REGIMES.add("joint", FrozenNorms)
data, out = sys.argv[1:]
execution = Execution(processes_here("cpu"))
config = TrainConfig("rex_mobilenetv2_035", image_size=32, epochs=1, lr=0.02, ema_decay=0.5)
once = replace(config, lr=0.5, batch_size=1000, momentum=0.0, weight_decay=0.0, clip_norm=0.0)
train(once, data, f"{out}/once", execution=execution)
train(replace(config, epochs=2, batch_size=15), data, f"{out}/often", execution=execution)
"""


@pytest.fixture(scope="module")
def spoilt(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three colours twice over, with one file among 144 that is no image."""
    root = tmp_path_factory.mktemp("spoilt")
    for path in colours.rglob("*.png"):
        for copy in "ab":
            target = root / path.relative_to(colours).with_stem(f"{path.stem}{copy}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes() + copy.encode())
    learnt = make_splits(open_source(root), SplitSpec(seed=0)).train
    (root / learnt[30].name).write_bytes(b"none")
    return root


def run(command: list[str]) -> None:
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_two_processes_do_what_one_does(spoilt: Path, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    run([sys.executable, str(worker), str(spoilt), str(tmp_path / "one")])
    run([*TORCHRUN, str(worker), str(spoilt), str(tmp_path / "two")])
    for kind, tolerance in (("once", 5e-6), ("often", 2e-4)):
        one, two = (load_file(tmp_path / n / kind / "last.safetensors") for n in ("one", "two"))
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=tolerance, msg=name)
        learnt = [name.removeprefix("net.") for name in one if name.startswith("net.")]
        moved = [name for name in learnt if not torch.equal(one[f"net.{name}"], one[f"ema.{name}"])]
        assert len(moved) > 50, "parameters must have moved for the comparison to say something"
        rows = []
        for number in ("one", "two"):
            with (tmp_path / number / kind / "metrics.csv").open(newline="") as file:
                rows.append(list(csv.DictReader(file)))
            record = json.loads((tmp_path / number / kind / "run.json").read_text())
            assert record["finished"]
        for first, second in zip(*rows, strict=True):
            for key in first.keys() - {"seconds", "data_wait"}:
                assert float(first[key]) == pytest.approx(float(second[key]), abs=2e-3), key


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_one_alone_goes_on(colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--model=rex_mobilenetv2_035", "--image-size=32", "--batch-size=16", "--epochs=8"]
    command = ["-m", "exeunt", "train", str(colours), "--out", str(out), *options, "--resume"]
    torchrun = subprocess.Popen(
        [*TORCHRUN, *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not (out / "metrics.csv").exists():
        assert torchrun.poll() is None, torchrun.communicate()[0]
        time.sleep(0.05)
    os.kill(process_of_rank(1, str(out)), signal.SIGKILL)
    told, _ = torchrun.communicate(timeout=120)
    assert torchrun.returncode != 0, told
    complete = len((out / "metrics.csv").read_text().splitlines()) - 1
    assert 1 <= complete < 8
    assert not list(out.glob("*.part")), "no half-written file may be left"
    run([sys.executable, *command])
    record = json.loads((out / "run.json").read_text())
    assert record["finished"]
    assert record["command"].startswith("exeunt train")
    assert len((out / "metrics.csv").read_text().splitlines()) == 9


def process_of_rank(rank: int, argument: str) -> int:
    """The process that has `argument` on its command line and this rank in its environment."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            launched = b"torch.distributed.run" in Path(f"/proc/{parent}/cmdline").read_bytes()
        except OSError:
            continue
        if f"RANK={rank}".encode() in environment and argument.encode() in arguments and launched:
            return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.parametrize("size", [2, 3])
def test_shares_of_a_batch_are_the_batch(size: int) -> None:
    whole = list(EpochBatches(40, 7, seed=3, epoch=2))
    shares = [list(EpochBatches(40, 7, 3, 2, share=(rank, size))) for rank in range(size)]
    for k, batch in enumerate(whole):
        parts = [share[k] for share in shares]
        assert sorted(key for part in parts for key in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_batches_must_have_two_images_for_each_process(samples_of_one: list) -> None:
    with pytest.raises(ExeuntError, match="batch_size=5 leaves 3 processes fewer than two"):
        train_loader(samples_of_one, Transform((4, 4)), batch_size=5, seed=0, share=(0, 3))


@pytest.fixture
def samples_of_one(colours: Path) -> list:
    return open_source(colours).pools["train"][:1]


def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes = processes_here("cpu")
    assert isinstance(processes, Alone)
    assert (processes.rank, processes.size, processes.device) == (0, 1, torch.device("cpu"))
    assert processes.sum(np.arange(3)).tolist() == [0, 1, 2]
    assert processes.collect("x") == ["x"]
    assert processes.led(lambda: 5) == 5


def test_what_processes_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExeuntError, match="batch norm works on GPUs; this run is on cpu"):
        processes_here("cpu", sync_batchnorm=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ExeuntError, match="2 processes take the device cpu or cuda, not 'mps'"):
        processes_here("mps")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ExeuntError, match=r"needs lightning-fabric: pip install 'exeunt\[distrib"):
        processes_here("cpu")
