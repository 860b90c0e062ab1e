"""Datasets of Python are labelled images like any others."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, TensorDataset

from exeunt.data import (
    LabelledImages,
    SplitSpec,
    Transform,
    UnreadableImage,
    content_hash,
    eval_loader,
    fingerprint,
    make_splits,
    open_source,
)
from exeunt.errors import ExeuntError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8)
NUMBERS = [i % 3 for i in range(30)]


class Cifar10Like:
    """Has what `torchvision.datasets.CIFAR10` has."""

    classes = ("frog", "cat", "dog")

    def __init__(self, pixels=PIXELS, numbers=NUMBERS, transform=None) -> None:
        self.data, self.targets, self.transform = pixels, numbers, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int):
        if not 0 <= index < len(self):
            raise IndexError(index)
        image = Image.fromarray(self.data[index])
        return (self.transform(image) if self.transform else image), self.targets[index]


class ClassLabel:
    names = ("frog", "cat", "dog")


class HuggingFaceLike(Cifar10Like):
    """Has what a dataset of Hugging Face has: dicts, and features that name the classes."""

    classes = None
    features = {"img": None, "label": ClassLabel()}  # noqa: RUF012

    def __getitem__(self, index: int):
        image, label = super().__getitem__(index)
        return {"img": image, "label": label}


def as_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def pairs(form, labels=NUMBERS):
    return [(form(p), label) for p, label in zip(PIXELS, labels, strict=True)]


FORMS = {
    "PIL": lambda: pairs(Image.fromarray),
    "arrays": lambda: pairs(lambda p: p),
    "tensors": lambda: pairs(lambda p: torch.from_numpy(p).permute(2, 0, 1)),
    "bytes": lambda: pairs(lambda p: {"bytes": as_png(p), "path": None}),
    "CIFAR10": Cifar10Like,
    "Hugging Face": HuggingFaceLike,
    "TensorDataset": lambda: TensorDataset(
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2), torch.tensor(NUMBERS)
    ),
    "dicts": lambda: [{"image": p, "label": np.int64(n)} for p, n in pairs(lambda p: p)],
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_every_form(form):
    source = open_source(FORMS[form]())
    assert source.task == "classification"
    assert [sample.name for sample in source.samples] == [f"{i:05}" for i in range(30)]
    assert [sample.target for sample in source.samples] == NUMBERS
    for sample, pixels in zip(source.samples, PIXELS, strict=True):
        assert (np.asarray(sample.place.load()) == pixels).all()
    assert fingerprint(source.samples) == fingerprint(open_source(Cifar10Like()).samples)


def test_grey_images_and_files(tmp_path):
    (tmp_path / "1.png").write_bytes(as_png(PIXELS[0]))
    grey = PIXELS[1, :, :, 0]
    data = [
        (tmp_path / "1.png", 0),
        (str(tmp_path / "1.png"), 1),
        (grey, 1),
        (grey[:, :, None], 1),
        (torch.from_numpy(grey)[None], 0),
        (torch.from_numpy(grey), 0),
    ]
    loaded = [np.asarray(sample.place.load()) for sample in open_source(data).samples]
    assert all((image == PIXELS[0]).all() for image in loaded[:2])
    assert all(image.shape == (6, 5) and (image == grey).all() for image in loaded[2:])


@pytest.mark.parametrize(
    ("data", "names", "targets"),
    [
        (Cifar10Like(), ("frog", "cat", "dog"), [0, 1, 2]),
        (Subset(Subset(Cifar10Like(), range(10)), range(6)), ("frog", "cat", "dog"), [0, 1, 2]),
        (HuggingFaceLike(), ("frog", "cat", "dog"), [0, 1, 2]),
        (LabelledImages(Cifar10Like(), class_names=["x", "y", "z"]), ("x", "y", "z"), [0, 1, 2]),
        (pairs(lambda p: p, ["b", "c", "a"] * 10), ("a", "b", "c"), [1, 2, 0]),
        (pairs(lambda p: p, [10, 2, 7] * 10), ("2", "7", "10"), [2, 0, 1]),
        (pairs(lambda p: p, [True, False, True] * 10), ("0", "1"), [1, 0, 1]),
        (
            LabelledImages(pairs(lambda p: p, ["b", "c", "a"] * 10), class_names=["c", "b", "a"]),
            ("c", "b", "a"),
            [1, 0, 2],
        ),
    ],
)
def test_classes(data, names, targets):
    source = open_source(data)
    assert source.class_names == names
    assert [sample.target for sample in source.samples[:3]] == targets


def test_classes_of_weights_may_be_in_another_order():
    source = open_source(Cifar10Like(), ["dog", "cat", "frog", "horse"])
    assert [sample.target for sample in source.samples[:3]] == [2, 1, 0]
    with pytest.raises(ExeuntError, match=r"Cifar10Like: .* do not know: 'dog'"):
        open_source(Cifar10Like(), ["cat", "frog"])


def test_floats_are_values():
    source = open_source(pairs(lambda p: p, [np.float32(i / 4) for i in range(30)]))
    assert (source.task, source.class_names) == ("regression", ())
    assert [sample.target for sample in source.samples] == [i / 4 for i in range(30)]


@pytest.mark.parametrize("test", ["test", "validation"])
def test_two_datasets_are_the_two_pools(test):
    first, rest = Subset(Cifar10Like(), range(20)), Subset(Cifar10Like(), range(20, 30))
    sources = [
        LabelledImages(first, rest).source,
        open_source({"train": first, test: rest}),
        open_source({test: rest, "train": first, "other": rest}),
    ]
    assert sources[2].left_out.note == "left out: 1 unused split (other)"
    for source in sources:
        splits = make_splits(source, SplitSpec())
        assert [sample.name for sample in splits.test] == [f"test/{i:05}" for i in range(10)]
        assert (np.asarray(splits.test[0].place.load()) == PIXELS[20]).all()
        assert len(splits.train) + len(splits.calibration) == 20
        assert all(sample.name.startswith("train/") for sample in splits.train)


def test_the_only_dataset_of_a_mapping_is_all():
    assert [*open_source({"train": Cifar10Like()}).pools] == ["all"]


def test_a_fingerprint_notices_every_change():
    first = fingerprint(open_source(Cifar10Like()).samples)
    touched = PIXELS.copy()
    touched[7, 0, 0, 0] ^= 1
    relabelled = [*NUMBERS[:5], 0, *NUMBERS[6:]]
    others = [Cifar10Like(touched), Cifar10Like(PIXELS[::-1]), Cifar10Like(PIXELS, relabelled)]
    assert len({first, *(fingerprint(open_source(other).samples) for other in others)}) == 4


def test_hashes_are_those_of_the_published_files(tmp_path):
    """Pixels of CIFAR's binary version and of torchvision's object are the same images."""
    pixels = RNG.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    numbers = [i % 3 for i in range(60)]
    rows = [
        bytes([n]) + p.transpose(2, 0, 1).tobytes() for n, p in zip(numbers, pixels, strict=True)
    ]
    for i in range(5):
        (tmp_path / f"data_batch_{i + 1}.bin").write_bytes(b"".join(rows[10 * i : 10 * i + 10]))
    (tmp_path / "test_batch.bin").write_bytes(b"".join(rows[50:]))
    (tmp_path / "batches.meta.txt").write_text("frog\ncat\ndog\n")
    files = open_source(tmp_path)
    data = LabelledImages(
        Cifar10Like(pixels[:50], numbers[:50]), Cifar10Like(pixels[50:], numbers[50:])
    )
    for pool in ("train", "test"):
        one, other = files.pools[pool], data.source.pools[pool]
        assert [content_hash(s.place) for s in one] == [content_hash(s.place) for s in other]
        assert [s.target for s in one] == [s.target for s in other]


class Unsized:
    def __getitem__(self, index: int):
        return PIXELS[0], 0


class Broken(Cifar10Like):
    def __getitem__(self, index: int):
        if index == 3:
            raise OSError("disk on fire")
        return super().__getitem__(index)


def with_label(label):
    return pairs(lambda p: p, [0, 1, label, *NUMBERS[3:]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Unsized(), "Unsized: an object of type Unsized is no dataset with a length"),
        ([], "images: the dataset is empty"),
        ({}, "the datasets are called nothing; one must be called train"),
        ({"a": [], "b": []}, "are called 'a', 'b'; one must be called train and one test"),
        ([PIXELS[0], PIXELS[1]], r"images, item 0: must be a pair \(image, label\).* type ndarray"),
        ([(PIXELS[0], 1, 2)], "images, item 0: must be a pair .* type tuple of 3"),
        (
            [{"picture": PIXELS[0], "label": 1}],
            "item 0: has 'picture', 'label', but none of 'image'",
        ),
        ([{"image": PIXELS[0], "class": 1}], "item 0: .* none of 'label', 'labels'"),
        ([("there/is/none.png", 1), (3, 1)], "item 1: an object of type int; give a file"),
        ([(PIXELS[0] / 255, 1)], r"item 0: an array of float64 and shape \(6, 5, 3\); give uint8"),
        (
            [(torch.rand(3, 6, 5), 1)],
            r"item 0: a tensor of float32 and shape \(3, 6, 5\).*ToTensor",
        ),
        ([(torch.zeros(4, 6, 5, dtype=torch.uint8), 1)], r"shape \(4, 6, 5\).* 1 or 3 channels"),
        ([(np.zeros((0, 5), np.uint8), 1)], r"shape \(0, 5\)"),
        (Broken(), "Broken, item 3: cannot be read .OSError: disk on fire"),
        (with_label(None), "images, item 2: the label must be .* not None"),
        (with_label(""), "item 2: the label must be .* not ''"),
        (with_label([1]), "item 2: the label must be .* type list"),
        (with_label(torch.ones(2)), "item 2: the label must be .* type Tensor"),
        (with_label(float("nan")), "item 2: the value must be finite, not nan"),
        (with_label(-1), "images, item 2: label -1 is below 0; .* no label"),
        (with_label(0.5), "labels of two kinds: that of item 0 is a number, 0; .*item 2 .*0.5"),
        (with_label("cat"), "labels of two kinds: .*that of item 2 is a name, 'cat'"),
        (Cifar10Like(numbers=[0, 1, 5] * 10), "item 2: label 5 is none of the 3 classes 'frog'"),
        (LabelledImages(with_label(0), class_names=["a", "b"]), "label 2 is none of the 2 classes"),
        (LabelledImages(Cifar10Like(), class_names=["a", "b", "a"]), "same name: 'a'"),
        (
            LabelledImages(pairs(lambda p: p, [0.5] * 30), class_names=["a", "b"]),
            "class_names were given, but its labels are floats",
        ),
        (pairs(lambda p: p, [0] * 30), "only one class, '0'"),
    ],
)
def test_what_is_no_labelled_image_is_named(data, message):
    with pytest.raises(ExeuntError, match=message):
        open_source(data)


def test_two_datasets_have_the_same_classes():
    other = Cifar10Like()
    other.classes = ("cat", "frog", "dog")
    with pytest.raises(ExeuntError, match="different classes; give class_names"):
        open_source({"train": Cifar10Like(), "test": other})
    with pytest.raises(ExeuntError, match="leave test out"):
        LabelledImages({"train": other, "test": other}, other)


def test_an_image_that_cannot_be_decoded_is_left_out_like_a_file():
    data = pairs(lambda p: {"bytes": as_png(p)})
    data[4] = ({"bytes": as_png(PIXELS[4])[:40]}, 1)
    source = open_source(data)
    (batch,) = eval_loader(source.samples, Transform((6, 5)), batch_size=30)
    assert len(batch) == 29
    assert [*batch.unreadable] == ["00004"]
    assert "PNG" in batch.unreadable["00004"]
    with pytest.raises(ExeuntError, match="item 4: cannot be read"):
        content_hash(source.samples[4].place)


def test_random_transforms_are_refused():
    def noisy(image: Image.Image) -> Image.Image:
        noise = np.random.default_rng().integers(0, 256, (6, 5, 3), dtype=np.uint8)
        return Image.fromarray(noise)

    with pytest.raises(ExeuntError, match="Cifar10Like, item 0: has other pixels each time"):
        open_source(Cifar10Like(transform=noisy))


def test_an_image_that_changed_is_not_taken_for_the_one_it_was():
    data = Cifar10Like(PIXELS.copy())
    sample = open_source(data).samples[9]
    data.data[9] += 1
    with pytest.raises(UnreadableImage, match="item 9: not the pixels that were here at first"):
        sample.place.load()


def test_samples_can_be_sent_to_other_processes():
    samples = open_source(Cifar10Like()).samples
    sent = pickle.loads(pickle.dumps(samples))
    assert fingerprint(sent) == fingerprint(samples)
    assert len({id(sample.place.pairs) for sample in sent}) == 1
    expected = [batch.images for batch in eval_loader(samples, Transform((6, 5)), batch_size=8)]
    for method in ("fork", "spawn"):
        loader = eval_loader(samples, Transform((6, 5)), batch_size=8, workers=1)
        loader.multiprocessing_context = method
        for batch, images in zip(loader, expected, strict=True):
            assert torch.equal(batch.images, images)


def test_names():
    assert str(LabelledImages(Subset(Cifar10Like(), [0, 1]))) == "Cifar10Like"
    named = LabelledImages(Cifar10Like(), name="animals")
    assert (str(named), named.source.name) == ("animals", "animals")
    assert repr(named) == "LabelledImages(animals, all: 30)"
    data = HuggingFaceLike()
    data.info = type("Info", (), {"dataset_name": None, "builder_name": "beans"})()
    assert LabelledImages(data).name == "beans"
    assert LabelledImages([]).name == "images"


def test_paths_stay_paths(tmp_path: Path):
    with pytest.raises(ExeuntError, match="no such file or folder"):
        open_source(tmp_path / "none")
