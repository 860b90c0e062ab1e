"""The page that says what a folder holds."""

from __future__ import annotations

import hashlib
import json
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
