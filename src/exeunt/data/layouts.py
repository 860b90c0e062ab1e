"""What the user's DATA is: class folders, train and test folders, or a CSV table of values."""

from __future__ import annotations

from pathlib import Path

from exeunt.data.folder import open_folder
from exeunt.data.source import Source
from exeunt.data.table import open_table
from exeunt.errors import ExeuntError


def open_source(path: str | Path) -> Source:
    """List the labelled images at `path`; no image is read.

    Three layouts are understood:

    * a folder of class folders (images in folders below a class folder count as its own);
    * a folder with `train/` and `test/` or `val/`, each a folder of the same class folders. With
      both present `test/` is the test pool and `val/` is not used;
    * a CSV file with the columns `file` and `value`, for regression. Files are relative to the
      folder of the CSV file; further columns are ignored.

    Images are jpg, jpeg, png, webp and bmp files, in any case. Names that begin with a dot are
    ignored.

    Raises:
        ExeuntError: If `path` is none of the three, or is one with a fault.
    """
    path = Path(path)
    if path.is_dir():
        return open_folder(path)
    if not path.exists():
        raise ExeuntError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".csv":
        return open_table(path)
    raise ExeuntError(f"{path}: neither a folder of class folders nor a .csv file (file,value)")
