"""DATA as folders: one folder of images per class, perhaps below `train/` and `test/`."""

from __future__ import annotations

import os
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.place import ImageFile
from exeunt.data.source import Sample, Source, by_name
from exeunt.errors import ExeuntError


def open_folder(root: Path) -> Source:
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if test is None or not train.is_dir():
        class_names = _class_names(root)
        pools = {"all": _folder_samples(root, root, class_names)}
        return Source(root, "classification", class_names, pools)
    class_names, test_names = _class_names(train), _class_names(test)
    if class_names != test_names:
        raise ExeuntError(
            f"{root}: train/ and {test.name}/ must hold the same class folders, but "
            f"{sorted(set(class_names) - set(test_names))} are in train/ only and "
            f"{sorted(set(test_names) - set(class_names))} in {test.name}/ only"
        )
    pools = {
        "train": _folder_samples(root, train, class_names),
        "test": _folder_samples(root, test, class_names),
    }
    return Source(root, "classification", class_names, pools)


def _class_names(folder: Path) -> tuple[str, ...]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if not entries:
        raise ExeuntError(f"{folder}: the folder is empty")
    names = sorted(entry.name for entry in entries if entry.is_dir())
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


def images_below(folder: Path) -> list[Path]:
    """Image files in a folder and the folders below it, in no order; hidden ones are left out."""
    images = []
    for parent, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                images.append(Path(parent, name))
    return images
