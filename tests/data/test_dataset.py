"""Items, batches and loaders: the same for any number of workers, whatever files are broken."""

from __future__ import annotations

import copy
import os
import pickle
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.data import (
    Augment,
    ImageDataset,
    ImageFile,
    Sample,
    Transform,
    UnreadableTally,
    dead_workers_named,
    eval_loader,
    load_image,
    train_loader,
)
from exeunt.errors import ExeuntError

TRANSFORM = Transform((8, 8))
AUGMENT = Augment(TRANSFORM)


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> list[Sample]:
    """Ten images of noise; the file of number 4 is broken."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (12, 14, 3), dtype=np.uint8)).save(root / f"{i}.png")
    (root / "4.png").write_bytes(b"broken")
    return [Sample(ImageFile(root / f"{i}.png"), i % 3, f"{i}.png") for i in range(10)]


def equal(batch, other) -> bool:
    return (
        torch.equal(batch.images, other.images)
        and torch.equal(batch.targets, other.targets)
        and torch.equal(batch.indices, other.indices)
        and batch.unreadable == other.unreadable
    )


def test_evaluation_item(samples):
    item = ImageDataset(samples, TRANSFORM)[5]
    assert (item.target, item.index, item.name) == (2, 5, "5.png")
    assert torch.equal(item.image, TRANSFORM(load_image(samples[5].place.path)))


def test_training_item_depends_on_seed_epoch_and_index_alone(samples):
    dataset = ImageDataset(samples, AUGMENT, seed=3)
    expected = AUGMENT(load_image(samples[5].place.path), np.random.default_rng((3, 2, 5)))
    dataset[0, 1]
    assert torch.equal(dataset[2, 5].image, expected)
    assert not torch.equal(dataset[1, 5].image, expected)
    assert not torch.equal(ImageDataset(samples, AUGMENT, seed=4)[2, 5].image, expected)
    with pytest.raises(TypeError, match=r"keys \(epoch, index\), not 5"):
        dataset[5]


def test_unreadable_item_says_so(samples):
    item = ImageDataset(samples, TRANSFORM)[4]
    assert item.image is None
    assert item.name == "4.png"


def test_collate_drops_the_unreadable(samples):
    dataset = ImageDataset(samples, TRANSFORM)
    batch = dataset.collate([dataset[i] for i in (7, 4, 2)])
    assert len(batch) == 2
    assert torch.equal(batch.images, torch.stack([dataset[7].image, dataset[2].image]))
    assert batch.targets.tolist() == [1, 2]
    assert batch.targets.dtype == torch.int64
    assert batch.indices.tolist() == [7, 2]
    assert batch.unreadable == {"4.png": "a text file"}


def test_collate_of_nothing_readable_keeps_the_shape(samples):
    dataset = ImageDataset(samples, Augment(Transform((6, 5), mode="L")))
    batch = dataset.collate([dataset[0, 4]])
    assert batch.images.shape == (0, 1, 6, 5)
    assert batch.targets.shape == batch.indices.shape == (0,)
    assert batch.targets.dtype == torch.int64


def test_values_become_floats(samples):
    valued = [Sample(sample.place, i / 2, sample.name) for i, sample in enumerate(samples)]
    (batch,) = eval_loader(valued[:3], TRANSFORM, batch_size=4)
    assert batch.targets.dtype == torch.float32
    assert batch.targets.tolist() == [0.0, 0.5, 1.0]


def test_batch_moves_as_a_whole(samples):
    (batch,) = eval_loader(samples, TRANSFORM, batch_size=10)
    moved = batch.to("meta")
    assert {t.device.type for t in (moved.images, moved.targets, moved.indices)} == {"meta"}
    assert moved.unreadable == batch.unreadable


def test_eval_loader_keeps_order_and_last_batch(samples):
    batches = list(eval_loader(samples, TRANSFORM, batch_size=4))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 2, 3], [5, 6, 7], [8, 9]]
    assert [[*batch.unreadable] for batch in batches] == [[], ["4.png"], []]


def test_workers_change_nothing(samples):
    one = train_loader(samples, AUGMENT, batch_size=3, seed=5)
    two = train_loader(samples, AUGMENT, batch_size=3, seed=5, workers=2)
    for epoch in range(3):
        one.set_epoch(epoch)
        two.set_epoch(epoch)
        alone, shared = list(one), list(two)
        assert len(alone) == len(shared) == 3
        assert all(equal(a, b) for a, b in zip(alone, shared, strict=True))
    evaluated = zip(
        eval_loader(samples, TRANSFORM, batch_size=3),
        eval_loader(samples, TRANSFORM, batch_size=3, workers=2),
        strict=True,
    )
    assert all(equal(a, b) for a, b in evaluated)


def test_training_batches_hold_the_items_of_their_epoch(samples):
    loader = train_loader(samples, AUGMENT, batch_size=5, seed=5, epoch=7)
    dataset = ImageDataset(samples, AUGMENT, seed=5)
    for batch in loader:
        for image, index in zip(batch.images, batch.indices.tolist(), strict=True):
            assert torch.equal(image, dataset[7, index].image)


def seen(loader) -> list[int]:
    return [index for batch in loader for index in batch.indices.tolist()]


def test_order_is_that_of_seed_and_epoch(samples):
    readable = samples[:4] + samples[5:]
    loader = train_loader(readable, AUGMENT, batch_size=3, seed=0)
    epochs = []
    for epoch in range(4):
        loader.set_epoch(epoch)
        epochs.append(seen(loader))
    assert all(sorted(order) == list(range(9)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == 4
    assert seen(train_loader(readable, AUGMENT, batch_size=3, seed=0, epoch=2)) == epochs[2]
    assert seen(train_loader(readable, AUGMENT, batch_size=3, seed=1, epoch=2)) != epochs[2]


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4]), (3, [3, 3, 3]), (20, [9])])
def test_incomplete_last_batch(samples, batch_size, sizes):
    readable = samples[:4] + samples[5:]
    loader = train_loader(readable, AUGMENT, batch_size=batch_size, seed=0)
    assert [len(batch) for batch in loader] == sizes
    assert len(loader) == len(sizes)


def test_training_without_augmentation(samples):
    (batch,) = train_loader(samples[:3], TRANSFORM, batch_size=3, seed=0)
    for image, index in zip(batch.images, batch.indices.tolist(), strict=True):
        assert torch.equal(image, TRANSFORM(load_image(samples[index].place.path)))


def test_global_random_numbers_are_left_alone(samples):
    before = torch.get_rng_state()
    list(train_loader(samples, AUGMENT, batch_size=3, seed=0))
    list(eval_loader(samples, TRANSFORM, batch_size=3))
    assert torch.equal(torch.get_rng_state(), before)


class Where(Transform):
    """Tells of the process that loads: its number of threads, and whether it ignores Ctrl-C."""

    def __call__(self, image):
        ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return torch.tensor([torch.get_num_threads(), ignores, 0]).view(3, 1, 1)


def test_workers_run_one_thread_each_and_ignore_interrupts(samples):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for workers, expected in ((0, [2, 0, 0]), (1, [1, 1, 0])):
            (batch,) = eval_loader(samples, Where((1, 1)), batch_size=10, workers=workers)
            assert batch.images.flatten(1).unique(dim=0).tolist() == [expected]
    finally:
        torch.set_num_threads(before)


def test_loader_can_be_sent_to_spawned_workers(samples):
    loader = train_loader(samples, AUGMENT, batch_size=3, seed=0)
    collate, start = pickle.loads(pickle.dumps((loader.collate_fn, loader.worker_init_fn)))
    assert callable(start)
    assert len(collate([ImageDataset(samples, TRANSFORM)[0]])) == 1


INTERRUPTED = """
import sys
from pathlib import Path
from exeunt.data import ImageFile, Sample, Transform, eval_loader
samples = [Sample(ImageFile(Path(sys.argv[1])), 0, "a")] * 64
loader = eval_loader(samples, Transform((8, 8)), batch_size=1, workers=2)
try:
    while True:
        for batch in loader:
            print("ready", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there are no process groups on Windows")
def test_interrupt_is_quiet(samples):
    command = [sys.executable, "-c", INTERRUPTED, str(samples[0].place.path)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output.endswith("interrupted\n")
    assert errors == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        ConnectionResetError(104, "Connection reset by peer"),
        ConnectionRefusedError(111, "Connection refused"),
        EOFError(),
    ],
)
def test_a_killed_worker_is_called_so_however_torch_meets_it(error):
    with (
        pytest.raises(
            ExeuntError, match=r"was killed \(\S.*memory has run out: give fewer --worker"
        ),
        dead_workers_named(),
    ):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), BrokenPipeError(), OSError(5)])
def test_other_errors_are_left_alone(error):
    with pytest.raises(type(error)), dead_workers_named():
        raise error


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"workers": -1}, "workers must be at least 0, not -1"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"samples": []}, "the list of samples is empty"),
    ],
)
def test_faulty_loaders(samples, values, message):
    values = {"samples": samples, "batch_size": 2, "seed": 0, **values}
    with pytest.raises(ExeuntError, match=message):
        train_loader(augment=AUGMENT, **values)


def batch_without(batch, *names):
    batch = copy.copy(batch)
    batch.unreadable = dict.fromkeys(names, "an empty file")
    return batch


def test_tally(samples):
    (batch,) = eval_loader(samples[:2], TRANSFORM, batch_size=2)
    tally = UnreadableTally(300)
    for _ in range(5):  # the same files, epoch after epoch
        tally.add(batch_without(batch, "c", "a", "b"))
    assert tally.reasons == dict.fromkeys("abc", "an empty file")
    with pytest.raises(ExeuntError, match=r"4 of 300 .* more than 1 %: a \(an empty file\), b "):
        tally.add(batch_without(batch, "d"))
    with pytest.raises(ExeuntError, match=r"6 of 300 .*, e \(an empty file\), \.\.\.\. Mend or"):
        tally.add(batch_without(batch, "e", "f"))


@pytest.mark.parametrize(
    ("total", "allowed", "tolerated"),
    [(50, 0.01, 0), (99, 0.01, 0), (100, 0.01, 1), (200, 0.01, 2), (199, 0.02, 3), (9, 0, 0)],
)
def test_tally_is_strict_and_names_the_share_that_would_do(samples, total, allowed, tolerated):
    (batch,) = eval_loader(samples[:2], TRANSFORM, batch_size=2)
    tally = UnreadableTally(total, allowed=allowed)
    names = [str(i) for i in range(tolerated)]
    tally.add(batch_without(batch, *names))
    with pytest.raises(ExeuntError, match=f"{tolerated + 1} of {total} images are") as caught:
        tally.add(batch_without(batch, "one more"))
    enough = float(re.search(r"--allow-unreadable (\S+)", str(caught.value))[1])
    assert enough < (tolerated + 2) / total
    UnreadableTally(total, tally.reasons, allowed=enough).add(batch)
