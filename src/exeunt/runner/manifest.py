"""The page that says what a folder holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exeunt.runner.error import RunnerError

FORMAT = 1
MANIFEST = "manifest.json"


def digest(manifest: dict[str, Any]) -> str:
    """The hash of a manifest, over all but its own entry `sha256`."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def bytes_of(file: Path) -> bytes:
    """A file of the folder, whole.

    Raises:
        RunnerError: when it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise RunnerError(f"{file}: cannot be read ({error.strerror})") from error


def exported_bytes(
    folder: Path, says: Mapping[str, Any], others: Mapping[str, str] | None = None
) -> bytes:
    """A file of the folder, whole, that has to be the one that was written.

    Args:
        folder: where it lies.
        says: what the manifest says of it: `file` and `sha256`.
        others: names of files by their hashes, for which it may have been mistaken.

    Raises:
        RunnerError: when it cannot be read, or is another.
    """
    file = folder / says["file"]
    data = bytes_of(file)
    found = hashlib.sha256(data).hexdigest()
    if found != says["sha256"]:
        other = f"is {others[found]}" if others and found in others else "has other contents"
        raise RunnerError(f"{file}: not the file that was exported; it {other}")
    return data


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads a manifest and checks it against its own hash.

    Raises:
        RunnerError: when it is none, is of another format, or was edited.
    """
    data = bytes_of(path)
    try:
        manifest: dict[str, Any] = json.loads(data)
        form, stored = manifest["format"], manifest.get("sha256")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunnerError(f"{path}: not the manifest of an exported folder ({error})") from error
    if form != FORMAT:
        raise RunnerError(f"{path}: format {form!r}; this program reads {FORMAT}")
    if stored != digest(manifest):
        raise RunnerError(f"{path}: not as it was exported; its hash does not fit")
    return manifest
