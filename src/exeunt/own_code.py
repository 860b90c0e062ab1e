"""Importing a user's own code by the name or the path of a module."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path

from exeunt.errors import ExeuntError

imported: list[str] = []
"""What `import_own` has imported in this process: other processes that are to know it import it."""


def import_own(module: str) -> None:
    """Imports a module, so that what it registers is known.

    A file is imported by the name of its stem, from its folder, which is put at the end of
    `sys.path`: processes that load images find it there too.

    Args:
        module: its name, as `import` takes it and looked for in the working folder too, or the
            path of a Python file.

    Raises:
        ExeuntError: when there is no such module, another one has its name, or it fails; with the
            line that failed.
    """
    file = Path(module).resolve() if module.endswith(".py") else None
    if file is not None and not file.is_file():
        raise ExeuntError(f"--import {module}: no such file")
    if file is not None and not file.stem.isidentifier():
        raise ExeuntError(f"--import {module}: {file.stem!r} is no name for a module; rename it")
    folder = str(Path.cwd() if file is None else file.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        found = import_module(module if file is None else file.stem)
    except ModuleNotFoundError as error:
        if file is None and error.name and f"{module}.".startswith(f"{error.name}."):
            raise ExeuntError(
                f"--import {module}: no such module; give a module's name or the path of a .py file"
            ) from error
        raise ExeuntError(_said(module, error)) from error
    except Exception as error:  # whatever a user's code does
        raise ExeuntError(_said(module, error)) from error
    where = getattr(found, "__file__", None)
    if file is not None and (where is None or Path(where).resolve() != file):
        raise ExeuntError(
            f"--import {module}: {file.stem!r} is the name of another module "
            f"({where or 'built into Python'}); rename the file"
        )
    if (name := module if file is None else str(file)) not in imported:
        imported.append(name)


def _said(module: str, error: Exception) -> str:
    """One line on what went wrong, and where in the user's code."""
    if isinstance(error, SyntaxError):
        return f"--import {module}: {error.filename}, line {error.lineno}: {error.msg}"
    here = Path(__file__).parent
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")
    ]
    own = [
        f for f in frames if here not in Path(f.filename).parents and "importlib" not in f.filename
    ]
    where = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
    kind = "" if isinstance(error, ExeuntError) else f"{type(error).__name__}: "
    return f"--import {module}: {where}{kind}{str(error).partition(chr(10))[0]}"
