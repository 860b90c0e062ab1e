"""The classes of ImageNet's validation images where these lie in one flat folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from exeunt.documents import read_text
from exeunt.errors import ExeuntError

KAGGLE_FOLDER = Path("ILSVRC", "Data", "CLS-LOC")
SOLUTION = "LOC_val_solution.csv"
SYNSETS = "imagenet_2012_validation_synset_labels.txt"
NUMBERS = "ILSVRC2012_validation_ground_truth.txt"


def truth_file(root: Path) -> Path | None:
    """The file with the classes of `root/val`: in `root`, in `val`, or where Kaggle has it.

    These are Kaggle's `LOC_val_solution.csv` and TensorFlow's list of the images' synsets. The
    devkit's own ground truth is not used: its numbers count the synsets in the order of a Matlab
    file, and no text file tells which order it has been exported in.
    """
    folders = [root, root / "val"]
    above = root.absolute()
    if above.parts[-len(KAGGLE_FOLDER.parts) :] == KAGGLE_FOLDER.parts:
        folders.append(above.parents[len(KAGGLE_FOLDER.parts) - 1])
    files = (folder / name for name in (SOLUTION, SYNSETS) for folder in folders)
    return next((file for file in files if file.is_file()), None)


def no_truth(folder: Path) -> ExeuntError:
    """What to raise when a folder has images but neither class folders nor a ground truth."""
    root = folder.parent
    devkit = [root / NUMBERS, folder / NUMBERS, *root.glob(f"*devkit*/data/{NUMBERS}")]
    found = next((path for path in devkit if path.is_file()), None)
    unused = f" {found} does not do: it numbers classes as the devkit's meta.mat." if found else ""
    return ExeuntError(
        f"{folder}: images, but no class folders; sort them into class folders, or list all images "
        f"in a CSV of file,label,split. (ImageNet's val/ may stay as it is with {SOLUTION} of "
        f"Kaggle or {SYNSETS} of TensorFlow beside it.{unused})"
    )


def read_truth(path: Path, images: Sequence[str]) -> Mapping[str, str]:
    """The synset of each image, by the name of its file.

    Args:
        path: As `truth_file` found it; images that it has beyond those asked for do not matter.
        images: The names of the image files.

    Raises:
        ExeuntError: If the file is not what its name says, or lacks an image.
    """
    text = read_text(path)
    if path.name == SYNSETS:
        synsets = text.split()
        if len(synsets) != len(images):
            raise ExeuntError(
                f"{path}: {len(synsets)} lines for {len(images)} images; it needs all images, "
                "in the order of their names"
            )
        return dict(zip(sorted(images), synsets, strict=True))
    try:
        solution = _solution(path, text)
    except csv.Error as error:
        raise ExeuntError(f"{path}: not a CSV file ({error})") from error
    missing = [name for name in images if Path(name).stem not in solution]
    if missing:
        raise ExeuntError(
            f"{path}: does not list {len(missing)} of {len(images)} images, such as {missing[0]}"
        )
    return {name: solution[Path(name).stem] for name in images}


def _solution(path: Path, text: str) -> dict[str, str]:
    """The synset of each image; its boxes, all of the same synset, are left out."""
    found: dict[str, str] = {}
    rows = csv.reader(text.splitlines())
    if next(rows, None) != ["ImageId", "PredictionString"]:
        raise ExeuntError(f"{path}: the first line must be ImageId,PredictionString")
    for row in rows:
        words = row[1].split() if len(row) == 2 else []
        if len(set(words[::5])) != 1:
            raise ExeuntError(
                f"{path}, line {rows.line_num}: expected an image and boxes of one synset "
                f"(n01440764 10 20 30 40 ...), not {','.join(row)!r}"
            )
        found[row[0]] = words[0]
    return found
