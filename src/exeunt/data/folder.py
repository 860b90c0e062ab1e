"""DATA as folders: one folder of images per class, perhaps below `train/` and `test/`."""

from __future__ import annotations

import os
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.imagenet import no_truth, read_truth, truth_file
from exeunt.data.place import ImageFile
from exeunt.data.source import Sample, Source, by_name
from exeunt.errors import ExeuntError


def open_folder(root: Path) -> Source:
    """List the images of class folders in `root`, or in `train/` and `test/` (or `val/`) of it.

    A `val/` without class folders is read as ImageNet's if there is a file with its classes. A
    `test/` without class folders has no labels, and is left aside where `val/` can be used.

    Raises:
        ExeuntError: If there are no class folders, or they do not fit each other.
    """
    train, test = root / "train", _held_out(root)
    if test is None or not train.is_dir():
        class_names = _class_names(root)
        pools = {"all": _folder_samples(root, root, class_names)}
        return Source(root, "classification", class_names, pools)
    class_names = _class_names(train)
    if _subfolders(test) or not _images_in(test):
        _require_same(root, class_names, test)
        held_out = _folder_samples(root, test, class_names)
    else:
        held_out = _flat_samples(root, test, class_names)
    pools = {"train": _folder_samples(root, train, class_names), "test": held_out}
    return Source(root, "classification", class_names, pools)


def _held_out(root: Path) -> Path | None:
    """The folder of the test images: the first one whose classes are known, or else the first."""
    folders = [folder for name in ("test", "val") if (folder := root / name).is_dir()]
    by_class = [folder for folder in folders if _subfolders(folder)]
    flat = [folder for folder in folders if folder.name == "val" and truth_file(root)]
    return next(iter([*by_class, *flat, *folders]), None)


def _require_same(root: Path, class_names: tuple[str, ...], test: Path) -> None:
    test_names = _class_names(test)
    if class_names != test_names:
        raise ExeuntError(
            f"{root}: train/ and {test.name}/ must hold the same class folders, but "
            f"{sorted(set(class_names) - set(test_names))} are in train/ only and "
            f"{sorted(set(test_names) - set(class_names))} in {test.name}/ only"
        )


def _flat_samples(root: Path, folder: Path, class_names: tuple[str, ...]) -> tuple[Sample, ...]:
    images = _images_in(folder)
    truth = truth_file(root) if folder.name == "val" else None
    if truth is None:
        raise no_truth(folder)
    targets = {name: target for target, name in enumerate(class_names)}
    samples = []
    for name, synset in read_truth(truth, images).items():
        if synset not in targets:
            raise ExeuntError(
                f"{truth}: {name} is of class {synset}, but there is no folder "
                f"{root / 'train' / synset}"
            )
        samples.append(Sample(ImageFile(folder / name), targets[synset], f"{folder.name}/{name}"))
    return by_name(samples)


def _class_names(folder: Path) -> tuple[str, ...]:
    names = _subfolders(folder)
    if not names and all(entry.name.startswith(".") for entry in folder.iterdir()):
        raise ExeuntError(f"{folder}: the folder is empty")
    if not names:
        raise ExeuntError(
            f"{folder}: no class folders; expected one folder of images per class, "
            f"such as {folder / 'cat' / '1.jpg'}"
        )
    if len(names) == 1:
        raise ExeuntError(
            f"{folder}: only one class folder, {names[0]!r}; at least two classes are needed"
        )
    return tuple(names)


def _folder_samples(root: Path, folder: Path, class_names: tuple[str, ...]) -> tuple[Sample, ...]:
    files = [images_below(folder / name) for name in class_names]
    suffixes = ", ".join(IMAGE_SUFFIXES)
    if not any(files):
        raise ExeuntError(f"{folder}: no images in its class folders ({suffixes})")
    for name, found in zip(class_names, files, strict=True):
        if not found:
            raise ExeuntError(f"{folder / name}: no images in this class folder ({suffixes})")
    samples = (
        Sample(ImageFile(file), target, file.relative_to(root).as_posix())
        for target, found in enumerate(files)
        for file in found
    )
    return by_name(samples)


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
        )


def _images_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_image(entry.name) and entry.is_file())


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden ones are not."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def images_below(folder: Path) -> list[Path]:
    """Image files in a folder and the folders below it, in no order; hidden ones are left out."""
    images = []
    for parent, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        images += [Path(parent, name) for name in files if is_image(name)]
    return images
