"""DATA as folders: one folder of images per class, perhaps below `train/` and `test/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.imagenet import no_truth, read_truth, truth_file
from exeunt.data.left_out import listed
from exeunt.data.listing import Listing, list_below, list_folder
from exeunt.data.place import ImageFile
from exeunt.data.pools import POOL_NAMES, pool_folders
from exeunt.data.source import Sample, Source, by_name
from exeunt.errors import ExeuntError


def open_folder(root: Path) -> Source:
    """List the images of class folders in `root`, or in `train/` and `test/` (or `val/`) of it.

    The folders of the pools may be called as in `exeunt.data.pools`. A `val/` without class folders
    is read as ImageNet's if there is a file with its classes. A `test/` without class folders has
    no labels, and is left aside where `val/` can be used. Class folders without images are left
    out, and so is what is no image.

    Raises:
        ExeuntError: If there are no class folders, or they do not fit each other.
    """
    here = list_folder(root)
    train, test = _pools(root, here)
    if train is None or test is None:
        classes = _Classes(root, root, here)
        pools = {"all": classes.samples(classes.names)}
        return Source(root, "classification", classes.names, pools, classes.left_out)
    for path in (*here.folders, *here.images):
        if path not in (train, test):
            here.left_out.add("unused folder" if path in here.folders else "stray image", path.name)
    classes = _Classes(root, train)
    here.left_out.include(classes.left_out)
    inside = list_folder(test, root)
    if inside.folders or not inside.images:
        tested = _Classes(root, test, inside)
        if unknown := sorted(set(tested.names) - set(classes.names)):
            raise ExeuntError(
                f"{root}: {test.name}/ holds images of classes that {train.name}/ has none of: "
                f"{listed(unknown)}"
            )
        held_out = tested.samples(classes.names)
        here.left_out.include(tested.left_out)
    else:
        inside = list_folder(test, root, other_files=True)
        held_out = _flat_samples(root, train, test, inside, classes.names)
        here.left_out.include(inside.left_out)
    pools = {"train": classes.samples(classes.names), "test": held_out}
    return Source(root, "classification", classes.names, pools, here.left_out)


def _pools(root: Path, here: Listing) -> tuple[Path | None, Path | None]:
    """The folders of the train and the test images; None and None where there are no such two."""
    by_pool = pool_folders(path.name for path in here.folders)
    if "train" not in by_pool or len(by_pool) == 1:
        return None, None
    trains = [root / name for name in by_pool["train"]]
    tests = [root / name for pool in ("test", "val") for name in by_pool.get(pool, ())]
    if trains[0].name.lower() != "train":  # a class may be called "freight train"
        trains = [folder for folder in trains if list_folder(folder).folders]
    by_class = [folder for folder in tests if list_folder(folder).folders]
    flat = [root / "val"] if root / "val" in tests and truth_file(root) else []
    candidates = [*by_class, *flat, *tests]
    if not trains:
        return None, None
    for names in (trains, [path for path in by_class if _same_pool(path, by_class[0], by_pool)]):
        if len(names) > 1:
            raise ExeuntError(
                f"{root}: {listed(path.name for path in names)} are called by the same split; "
                "leave one of them, or list the images in a CSV of file,label,split"
            )
    return trains[0], candidates[0]


def _same_pool(one: Path, other: Path, by_pool: dict[str, list[str]]) -> bool:
    return any({one.name, other.name} <= {*names} for names in by_pool.values())


def _flat_samples(
    root: Path, train: Path, folder: Path, inside: Listing, class_names: Sequence[str]
) -> tuple[Sample, ...]:
    images = [path.name for path in inside.images]
    truth = truth_file(root) if folder.name == "val" else None
    if truth is None:
        raise no_truth(folder)
    targets = {name: target for target, name in enumerate(class_names)}
    samples = []
    for name, synset in read_truth(truth, images).items():
        if synset not in targets:
            raise ExeuntError(
                f"{truth}: {name} is of class {synset}, but there is no folder {train / synset}"
            )
        samples.append(Sample(ImageFile(folder / name), targets[synset], f"{folder.name}/{name}"))
    return by_name(samples)


class _Classes:
    """The class folders of a folder, and their images.

    Attributes:
        names: Of those that hold images, sorted.
        left_out: What is no image of a class.

    Raises:
        ExeuntError: If there are none, or they are something else than classes.
    """

    def __init__(self, root: Path, folder: Path, here: Listing | None = None) -> None:
        here = here or list_folder(folder, root)
        self._root, self.left_out = root, here.left_out
        found = {path.name: list_below(path, root) for path in here.folders}
        _require_classes(folder, here, list(found.values()))
        for image in here.images:
            self.left_out.add("stray image", image.relative_to(root).as_posix())
        for name, inside in found.items():
            self.left_out.include(inside.left_out)
            if not inside.images:
                self.left_out.add(
                    "empty class folder", (folder / name).relative_to(root).as_posix()
                )
        self._images = {name: inside.images for name, inside in found.items() if inside.images}
        self.names = tuple(self._images)
        if not self.names:
            raise ExeuntError(
                f"{folder}: no images in its class folders ({', '.join(IMAGE_SUFFIXES)})"
                f"{f'; there are {self.left_out}' if self.left_out else ''}"
            )

    def samples(self, class_names: Sequence[str]) -> tuple[Sample, ...]:
        """The images, with targets that count `class_names`."""
        targets = {name: target for target, name in enumerate(class_names)}
        return by_name(
            Sample(ImageFile(image), targets[name], image.relative_to(self._root).as_posix())
            for name, images in self._images.items()
            for image in images
        )


def _require_classes(folder: Path, here: Listing, below: Sequence[Listing]) -> None:
    """Refuses a folder whose folders are not those of classes."""
    if not here.folders:
        if not any(not path.name.startswith(".") for path in folder.iterdir()):
            raise ExeuntError(f"{folder}: the folder is empty")
        raise ExeuntError(
            f"{folder}: no class folders; expected one folder of images per class, "
            f"such as {folder / 'cat' / '1.jpg'}"
        )
    shared = set.intersection(*({path.name for path in one.folders} for one in below))
    if len(below) > 1 and len(shared) > 1:
        names = [path.name for path in here.folders]
        raise ExeuntError(
            f"{folder}: {listed(names)} all hold the folders {listed(sorted(shared))}, so that one "
            "of the two are no classes. Call the folders of splits "
            f"{POOL_NAMES}, or list the images in a CSV of file,label,split"
        )
