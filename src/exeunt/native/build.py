"""Compiles the kernels beside their sources.

Nothing but the standard library is imported: this also runs where exeunt is being installed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from exeunt.files import replacing

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "libexeunt.so"
"""Where it is put, whatever the system calls such files."""
FLAGS = ("-std=c99", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=fast")


class BuildError(RuntimeError):
    """Raised when there is no compiler, or it does not compile; the message says which."""


def digest() -> str:
    """A hash of the sources. It is compiled in: a library is used with its own sources alone."""
    sources = sorted(path for path in FOLDER.iterdir() if path.suffix in (".c", ".h"))
    found = hashlib.sha256()
    for path in sources:
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def seal(library: Path) -> Path:
    """The file with the hash of a library. One that was cut off would end the process it is in."""
    return library.with_suffix(".sha256")


def is_whole(library: Path) -> bool:
    """Whether a library is the one that was compiled."""
    if not (library.is_file() and seal(library).is_file()):
        return False
    return seal(library).read_bytes().strip() == _hash(library).encode()


def _hash(library: Path) -> str:
    return hashlib.sha256(library.read_bytes()).hexdigest()


def build(library: Path = LIBRARY) -> None:
    """Compiles the kernels with `$CC`, or else the compiler of the system.

    Raises:
        BuildError: when that fails; an older library is left as it was.
    """
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise BuildError("no C compiler was found (cc, gcc, clang, or $CC)")
    units = sorted(str(path) for path in FOLDER.glob("*.c"))
    named = f'-DEXEUNT_SOURCES="{digest()}"'
    try:
        words = shlex.split(compiler)
        with replacing(library) as made:
            command = [*words, *FLAGS, named, *units, "-o", str(made), "-lm"]
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            if digest().encode() not in made.read_bytes():
                raise BuildError(f"{compiler} ended well, but made no library of the kernels")
        with replacing(seal(library)) as made:
            made.write_text(f"{_hash(library)}\n", encoding="ascii")
    except ValueError as error:
        raise BuildError(f"CC={compiler!r} is no command line: {error}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip()
        raise BuildError(f"{compiler} failed: {said}") from error
    except OSError as error:
        raise BuildError(f"{compiler}: {error}") from error
