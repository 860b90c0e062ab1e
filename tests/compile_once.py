"""C compilers that compile each source of the runtime once, however many programs it goes into.

What is kept is found by the compiler, the flags, the source and the headers beside it. The rest
the compiler does itself: other sources, linking, and whatever fails or warns.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

COMPILERS = ("cc", "gcc", "aarch64-linux-gnu-gcc", "arm-none-eabi-gcc")

SOURCE = re.compile(r"exn_\w+\.c")
VALUED = ("-o", "-I", "-L", "-T")  # options whose value is the next word
PLACES = ("-I", "-L", "-l", "-T", "-Wl,")  # what no source of the runtime asks for
OTHERS = re.compile(r"-(E|S|M\w*|fsyntax-only|save-temps.*|x.*|i\w+|-version)$|@")
LAUNCHER = """\
#!/bin/sh
case " $* " in  # one source after the other, as build systems ask, is no slower without this
    *" -c "*" -o "*|*" -o "*" -c "*) exec {compiler} "$@" ;;
esac
exec {python} -IS {here} {folder} {compiler} "$@"
"""


def install(folder: Path) -> str:
    """Writes compilers of these names to a folder, and returns a path of programs with it first."""
    folder.mkdir(exist_ok=True)
    for compiler in filter(None, map(shutil.which, COMPILERS)):
        words = {"python": sys.executable, "here": __file__, "folder": str(folder)}
        words = {name: shlex.quote(word) for name, word in (words | {"compiler": compiler}).items()}
        path = folder / Path(compiler).name
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(LAUNCHER.format(**words))
        beside.chmod(0o755)
        beside.replace(path)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def main(folder: str, compiler: str, *words: str) -> None:
    asked = split(words)
    if asked is None:
        os.execv(compiler, [compiler, *words])
    sources, flags = asked
    objects = {source: kept(Path(folder), compiler, flags, Path(source)) for source in sources}
    if not all(objects.values()):
        os.execv(compiler, [compiler, *words])
    if "-c" not in words:
        os.execv(compiler, [compiler, *(str(objects.get(word) or word) for word in words)])
    for source, unit in objects.items():
        shutil.copyfile(str(unit), Path(source).with_suffix(".o").name)
    rest = [word for word in words if word not in objects]
    if any(word.endswith((".c", ".S")) for word in rest):
        os.execv(compiler, [compiler, *rest])


def split(words: tuple[str, ...]) -> tuple[list[str], list[str]] | None:
    """The runtime's sources, and the flags that they are compiled with; nothing where the compiler
    has to do all of it.
    """
    sources, flags, left = [], [], iter(words)
    for word in left:
        if OTHERS.match(word):
            return None
        if word in VALUED:
            next(left, None)
        elif not word.startswith("-"):
            sources += [word] if SOURCE.fullmatch(Path(word).name) else []
        elif not word.startswith(PLACES) and word != "-c":
            flags.append(word)
    return (sources, flags) if sources else None


def kept(folder: Path, compiler: str, flags: list[str], source: Path) -> Path | None:
    """Path of the object, compiled now if it never was; None where the compiler says anything."""
    digest = hashlib.sha256("\0".join([compiler, *flags, source.name]).encode())
    try:
        for file in [source, *sorted(source.parent.glob("*.h"))]:
            digest.update(file.name.encode() + file.read_bytes())
    except OSError:
        return None
    path = folder / f"{digest.hexdigest()}.o"
    if not path.exists():
        beside = path.with_suffix(f".{os.getpid()}.o")
        command = [compiler, *flags, "-c", str(source), "-o", str(beside)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode or done.stderr or not beside.exists():
            return None
        beside.replace(path)
    return path


if __name__ == "__main__":
    main(*sys.argv[1:])
