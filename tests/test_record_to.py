"""Recording into a file: killed, gone on with, mixed up, and met by files that cannot be read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from exeunt.data import Batch, Sample, Transform, open_source
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, load_table, record_samples, record_to, save_table
from exeunt.net import MultiExitNet, Stage

TRANSFORM = Transform((4, 4))
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_record_to import batches_until, record_in, samples_of, tiny_net
def kill(): os.kill(os.getpid(), signal.SIGKILL)
record_in(Path({path!r}), samples_of(Path({images!r})), on_batch=batches_until(3, kill))
"""


def tiny_net(seed: int = 0, gain: float = 1.0) -> MultiExitNet:
    """Two stages for images of 4 x 4 pixels, and three classes."""
    torch.manual_seed(seed)
    net = MultiExitNet(
        [
            Stage(nn.Conv2d(3, 3, 1), nn.Sequential(nn.Flatten(), nn.Linear(48, 3)))
            for _ in range(2)
        ],
        num_classes=3,
    )
    with torch.no_grad():
        for stage in net.stages:
            for parameter in stage.get_submodule("exit").parameters():
                parameter *= gain
    return net


def samples_of(folder: Path) -> tuple[Sample, ...]:
    return open_source(folder).pools["all"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eleven images of each of three classes."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(11):
            pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i:02}.png")
    return tmp_path / "images"


def record_in(path: Path, samples: Sequence[Sample], **change: Any) -> ExitTable:
    settings = {
        "exit_macs": (1, 2),
        "task": "classification",
        "split": "test",
        "class_names": ("a", "b", "c"),
        "batch_size": 4,
    }
    model = change.pop("model", None) or tiny_net()
    transform = change.pop("transform", TRANSFORM)
    return record_to(path, model, samples, transform, **(settings | change))


def batches_until(stop: int, then: Callable[[], None]) -> Callable[[Batch], None]:
    """Counts batches, and does something in place of batch `stop`, counted from 0."""
    seen = 0

    def count(_: Batch) -> None:
        nonlocal seen
        if seen == stop:
            then()
        seen += 1

    return count


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_file_is_that_of_a_table_recorded_in_memory(
    dtype: torch.dtype, images: Path, tmp_path: Path
) -> None:
    samples, path = samples_of(images), tmp_path / "new" / "t.exits"
    table = record_in(path, samples, dtype=dtype)
    in_memory = record_samples(
        tiny_net(),
        samples,
        TRANSFORM,
        exit_macs=(1, 2),
        task="classification",
        split="test",
        class_names=("a", "b", "c"),
        dtype=dtype,
        batch_size=4,
    )
    save_table(tmp_path / "m.exits", in_memory)
    assert path.read_bytes() == (tmp_path / "m.exits").read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["t.exits"]
    assert table.logits.dtype == dtype
    assert table.names == tuple(sample.name for sample in samples)
    assert table.targets.tolist() == [0] * 11 + [1] * 11 + [2] * 11
    x = torch.stack([TRANSFORM(sample.place.load()) for sample in samples])
    with torch.no_grad():
        expected = torch.stack(tiny_net()(x))
    torch.testing.assert_close(
        table.logits.float(), expected, atol=1e-5 if dtype == torch.float32 else 1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("stop", [0, 1, 5, 8])
def test_an_interrupted_recording_ends_with_the_same_bytes(
    stop: int, images: Path, tmp_path: Path
) -> None:
    samples = samples_of(images)
    whole, path = tmp_path / "whole.exits", tmp_path / "t.exits"
    record_in(whole, samples)
    with pytest.raises(KeyboardInterrupt):
        record_in(path, samples, on_batch=batches_until(stop, interrupt))
    assert not path.exists()
    partial = tmp_path / "t.exits.partial"
    assert partial.exists() == (stop > 0), "what has no rows yet is not worth keeping"
    seen: list[int] = []
    record_in(
        path, samples, resume=True, on_batch=lambda batch: seen.extend(batch.indices.tolist())
    )
    assert path.read_bytes() == whole.read_bytes()
    assert seen == list(range(4 * max(0, stop - 1), 33)), "only the last batch is run again"
    assert not partial.exists()


@pytest.mark.parametrize("torn_bytes", [1, 31, 33, 3 * 32 + 5])
def test_a_row_torn_by_the_kill_is_recorded_again(
    torn_bytes: int, images: Path, tmp_path: Path
) -> None:
    samples, path = samples_of(images), tmp_path / "t.exits"
    whole, partial = tmp_path / "whole.exits", tmp_path / "t.exits.partial"
    record_in(whole, samples)
    with pytest.raises(KeyboardInterrupt):
        record_in(path, samples, on_batch=batches_until(5, interrupt))
    partial.write_bytes(partial.read_bytes()[:-torn_bytes])
    record_in(path, samples, resume=True)
    assert path.read_bytes() == whole.read_bytes()


def test_kill_9(images: Path, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.exits", tmp_path / "t.exits"
    record_in(whole, samples_of(images))
    script = KILLED.format(folder=str(Path(__file__).parent), path=str(path), images=str(images))
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert ended.returncode == -9, ended.stderr.decode()
    assert not path.exists()
    record_in(path, samples_of(images), resume=True)
    assert path.read_bytes() == whole.read_bytes()


def test_what_was_killed_before_it_was_tidied_up_is_finished(images: Path, tmp_path: Path) -> None:
    samples, path, partial = samples_of(images), tmp_path / "t.exits", tmp_path / "t.exits.partial"
    with pytest.raises(KeyboardInterrupt):
        record_in(path, samples, on_batch=batches_until(8, interrupt))
    left = partial.read_bytes()
    record_in(path, samples, resume=True)
    partial.write_bytes(left)
    before = path.read_bytes()
    ran: list[Batch] = []
    table = record_in(path, samples, resume=True, on_batch=ran.append)
    assert not ran
    assert len(table) == 33
    assert path.read_bytes() == before
    assert not partial.exists()


def test_what_is_there_is_not_overwritten(images: Path, tmp_path: Path) -> None:
    samples, path = samples_of(images), tmp_path / "t.exits"
    with pytest.raises(KeyboardInterrupt):
        record_in(path, samples, on_batch=batches_until(3, interrupt))
    with pytest.raises(ExeuntError, match=r"t\.exits\.partial holds .* --resume goes on with it"):
        record_in(path, samples)
    record_in(path, samples, resume=True)
    with pytest.raises(ExeuntError, match=r"t\.exits is there already; choose another --out"):
        record_in(path, samples)


_DIFFERENCES = (  # the first four are known of a finished table too
    ({"model": tiny_net(1)}, "weights_fingerprint="),
    ({"split": "train"}, "split='test', not 'train'"),
    ({"dtype": torch.float16}, "dtype='float32', not 'float16'"),
    ({"samples": slice(0, 20)}, "data_fingerprint="),
    ({"samples": slice(None, None, -1)}, "order="),
    ({"batch_size": 5}, "batch_size=4, not 5"),
    ({"transform": replace(TRANSFORM, crop_fraction=0.5)}, "transform="),
)


@pytest.mark.parametrize(
    ("change", "difference", "finished"),
    [(*pair, False) for pair in _DIFFERENCES] + [(*pair, True) for pair in _DIFFERENCES[:4]],
)
def test_other_recordings_are_not_mixed(
    change: dict[str, Any], difference: str, finished: bool, images: Path, tmp_path: Path
) -> None:
    samples, path = samples_of(images), tmp_path / "t.exits"
    if finished:
        record_in(path, samples)
    else:
        with pytest.raises(KeyboardInterrupt):
            record_in(path, samples, on_batch=batches_until(3, interrupt))
    file = path if finished else tmp_path / "t.exits.partial"
    before = file.read_bytes()
    change = dict(change)
    others = samples[change.pop("samples", slice(None))]
    with pytest.raises(ExeuntError, match=difference) as caught:
        record_in(path, others, resume=True, **change)
    assert str(caught.value).startswith(f"{file} is a recording with")
    assert file.read_bytes() == before


def test_a_partial_file_that_is_none(images: Path, tmp_path: Path) -> None:
    (tmp_path / "t.exits.partial").write_bytes(b"\x93 nothing of the kind")
    with pytest.raises(ExeuntError, match=r"t\.exits\.partial: not a recording"):
        record_in(tmp_path / "t.exits", samples_of(images), resume=True)


def many(images: Path, copies: int) -> tuple[Sample, ...]:
    """More samples than there are files, each under a name of its own."""
    return tuple(
        replace(sample, name=f"{copy}/{sample.name}")
        for copy in range(copies)
        for sample in samples_of(images)
    )


@pytest.mark.parametrize("stop", [None, 1, 20])
def test_unreadable_images_are_left_out(stop: int | None, images: Path, tmp_path: Path) -> None:
    samples, path = many(images, 4), tmp_path / "t.exits"  # 132, of which one may be unreadable
    (images / "b" / "bad.png").write_bytes(b"not an image")
    bad = next(s for s in samples_of(images) if s.name == "b/bad.png")
    samples = (*samples[:2], bad, *samples[2:])
    if stop is not None:
        with pytest.raises(KeyboardInterrupt):
            record_in(path, samples, on_batch=batches_until(stop, interrupt))
    table = record_in(path, samples, resume=stop is not None)
    readable = samples[:2] + samples[3:]
    assert table.names == tuple(sample.name for sample in readable)
    assert table.targets.tolist() == [sample.target for sample in readable]
    kept = [i for i in range(len(samples)) if i != 2]
    x = torch.stack([TRANSFORM(samples[i].place.load()) for i in kept])
    with torch.no_grad():
        expected = torch.stack(tiny_net()(x))
    torch.testing.assert_close(table.logits, expected)


def test_unreadable_images_count_from_the_beginning(images: Path, tmp_path: Path) -> None:
    samples, path = many(images, 4), tmp_path / "t.exits"
    for name in ("x", "y"):
        (images / "b" / f"{name}.png").write_bytes(b"not an image")
    bad = [s for s in samples_of(images) if s.name in ("b/x.png", "b/y.png")]
    samples = (bad[0], *samples, bad[1])
    with pytest.raises(KeyboardInterrupt):
        record_in(path, samples, on_batch=batches_until(9, interrupt))
    with pytest.raises(ExeuntError, match="2 of 134 images are unreadable"):
        record_in(path, samples, resume=True)


def test_logits_too_large_for_float16_are_refused(images: Path, tmp_path: Path) -> None:
    model = tiny_net(gain=1e6)
    with pytest.raises(ExeuntError, match=r"does not fit float16, whose largest number is 65504"):
        record_in(tmp_path / "t.exits", samples_of(images), model=model, dtype=torch.float16)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert len(record_in(tmp_path / "t.exits", samples_of(images), model=model)) == 33


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": torch.bfloat16}, "float32 or float16"),
        ({"exit_macs": (2, 1)}, "cumulative"),
        ({"class_names": ("a",)}, "must name the 3 outputs"),
        ({"task": "regression"}, "3 outputs per exit"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_what_does_not_fit_leaves_nothing(
    change: dict[str, Any], message: str, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExeuntError, match=message):
        record_in(tmp_path / "t.exits", samples_of(images), **change)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_regression(tmp_path: Path, images: Path) -> None:
    (images / "values.csv").write_text("file,value\na/00.png,0.5\nb/03.png,2\n", encoding="utf-8")
    (samples,) = open_source(images / "values.csv").pools.values()
    net = MultiExitNet(
        [Stage(nn.Conv2d(3, 3, 1), nn.Sequential(nn.Flatten(), nn.Linear(48, 1)))], num_classes=1
    )
    path = tmp_path / "t.exits"
    record_in(path, samples, model=net, task="regression", class_names=(), exit_macs=(1,))
    table = load_table(path)
    assert table.targets.tolist() == [0.5, 2.0]
    assert table.logits.shape == (1, 2, 1)
