"""Writing folders so that a reader never meets half of one, and so that nobody's files are lost."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exeunt.errors import ExeuntError
from exeunt.files import flush, writing
from exeunt.locks import locked

PATIENCE_S = 60.0
_EXCHANGE, _AT_CWD = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux

Owned = Callable[[Path], Collection[str]]


@contextmanager
def replacing_folder(folder: str | Path, owned: Owned) -> Iterator[Path]:
    """Gives an empty folder beside `folder`; what is in it at the end takes the place of what
    exeunt wrote into `folder` before. All other files in `folder` stay as they are.

    The new folder is built in `.NAME.exeunt` beside the old one. Files that stay get a hard link
    in it (a copy, where the disk has no such links), and then the two exchange their names, in one
    step on Linux: whoever opens `folder` finds the old export or the new one, whole, with the
    files that stay, at every moment and wherever the process is killed. Where the system cannot
    exchange names, the old folder is renamed into `.NAME.exeunt` before the new one takes its
    name: for a moment a reader finds nothing there, and after a kill in that very moment the next
    call first gives the old one its name back. A call removes what a killed one left behind.

    Only one process writes a folder at a time; another waits. Processes that have the old folder
    open, as a shell has that stands in it, go on seeing the old one.

    Args:
        folder: where to; made if needed, with those above it. A link stays one.
        owned: names the files, relative to a folder that is there and not empty, that exeunt wrote
            into it and may replace; raises `ExeuntError` if it is no such folder.

    Raises:
        ExeuntError: when `owned` does, a new file has the name of one that has to stay, or another
            process is writing the folder.
        WriteError: when something cannot be written. The folder is as it was.
    """
    folder = Path(folder)
    check_folder(folder, owned)
    place = Path(os.path.realpath(folder))
    work = place.with_name(f".{place.name}.exeunt")
    try:
        with locked(work / "lock", folder, PATIENCE_S), writing(folder):
            swap = _Swap(folder, place, work)
            swap.recover()
            mine = frozenset(check_folder(folder, owned))
            try:
                swap.new.mkdir()
                yield swap.new
                swap.carry_out(mine)
            finally:
                swap.tidy()
    finally:
        with suppress(OSError):  # another may be in it already
            work.rmdir()


def check_folder(folder: str | Path, owned: Owned) -> Collection[str]:
    """The files in a folder that may be replaced; to be asked before work that takes long.

    Raises:
        ExeuntError: when `owned` does, or it is none that can be replaced as a whole.
        WriteError: when it cannot be read.
    """
    place = Path(os.path.realpath(folder))
    with writing(folder):
        if not place.exists():
            return ()
        if not place.is_dir():
            raise ExeuntError(f"{folder} is a file; choose another --out")
        mine = owned(Path(folder)) if any(place.iterdir()) else ()
        if os.path.ismount(place):
            raise ExeuntError(
                f"{folder} cannot be replaced as a whole, since a disk is mounted there; give a "
                f"folder in it, such as {Path(folder) / 'net'}"
            )
        return mine


@dataclass(frozen=True)
class _Swap:
    """A folder that is about to take another's place.

    Attributes:
        folder: where to, as the user calls it.
        place: the same without links.
        work: the folder beside it that holds `new`, and `old` where names cannot be exchanged.
    """

    folder: Path
    place: Path
    work: Path

    @property
    def new(self) -> Path:
        return self.work / "new"

    @property
    def old(self) -> Path:
        return self.work / "old"

    @property
    def link(self) -> Path:
        return self.work / "link"

    def recover(self) -> None:
        """Tidies up after a process that was killed; the lock says that nobody else is here."""
        if self.old.exists() and self.new.exists():  # killed between two renames
            if self.place.exists():
                raise ExeuntError(
                    f"{self.old} is what {self.folder} was when an export was killed, and another "
                    f"{self.folder} has come since; move one of them away"
                )
            self.old.rename(self.place)
        _remove(self.old)
        self.tidy()

    def tidy(self) -> None:
        """Removes what is no longer needed, whatever happened."""
        self.link.unlink(missing_ok=True)
        if not self.old.exists():
            _remove(self.new)

    def carry_out(self, mine: frozenset[str]) -> None:
        """Puts `new` in the place of the old folder, whose other files than `mine` it gets."""
        _flush(self.new)
        if not self.place.exists():
            self.new.rename(self.place)
            return
        self._refuse_clash(mine)
        self._carry(self.place, self.new, mine)
        _copy_owner(self.place, self.new)
        shutil.copymode(self.place, self.new)
        old = self.new  # after the exchange
        if not _exchange(self.new, self.place):
            old = self.old
            try:
                self.place.rename(self.old)
                self.new.rename(self.place)
            except BaseException:
                if self.old.exists() and not self.place.exists():
                    self.old.rename(self.place)
                raise
        self._carry(old, self.place, mine)  # what came or changed in the meantime
        _remove(old)

    def _refuse_clash(self, mine: frozenset[str]) -> None:
        """Makes sure that no file or link is lost to a new file or folder of the same name."""
        for path in sorted(self.new.rglob("*")):
            name = path.relative_to(self.new).as_posix()
            there = self.place / name
            plain = not there.is_symlink()
            ours = there.is_dir() if path.is_dir() else name in mine and there.is_file()
            if os.path.lexists(there) and not (plain and ours):
                raise ExeuntError(
                    f"{self.folder / name} is not what was exported there, and would be replaced; "
                    "move it away, or choose another --out"
                )

    def _carry(self, source: Path, target: Path, mine: frozenset[str], within: str = "") -> bool:
        """Brings what is not `mine` up to date in `target`; returns whether there was anything."""
        found = False
        with os.scandir(source) as entries:
            for entry in entries:
                name, path, goal = within + entry.name, Path(entry.path), target / entry.name
                if not entry.is_dir(follow_symlinks=False):
                    if name not in mine or path.is_symlink():
                        found = True
                        if not _same(path, goal):
                            self._link(path, goal)
                    continue
                if path.stat().st_dev != source.stat().st_dev:
                    raise ExeuntError(
                        f"{self.folder} cannot be replaced as a whole, since a disk is mounted at "
                        f"{self.folder / name}; choose another --out"
                    )
                made = not goal.exists()
                goal.mkdir(exist_ok=True)
                theirs = self._carry(path, goal, mine, name + "/")
                if theirs or not any(file.startswith(name + "/") for file in mine):
                    found = True
                    _copy_owner(path, goal)
                    shutil.copystat(path, goal)
                elif made:
                    goal.rmdir()
        return found

    def _link(self, source: Path, goal: Path) -> None:
        """Lets `goal` be the file that `source` is, in one step."""
        if source.is_symlink():
            self.link.symlink_to(source.readlink())
        else:
            try:
                self.link.hardlink_to(source)
            except OSError:  # a disk without hard links, or one that has no more of them
                if not source.is_file():
                    raise
                shutil.copy2(source, self.link)
                _copy_owner(source, self.link)
        self.link.replace(goal)


def _flush(folder: Path) -> None:
    for at, _, names in os.walk(folder):
        for name in names:
            flush(Path(at, name))


def _copy_owner(source: Path, target: Path) -> None:
    if hasattr(os, "chown"):
        found = source.stat()
        with suppress(OSError):  # root alone may give files away
            os.chown(target, found.st_uid, found.st_gid)


def _same(path: Path, goal: Path) -> bool:
    """Whether `goal` is the same file or link, or a copy that is up to date."""
    if not os.path.lexists(goal):
        return False
    if path.is_symlink() or goal.is_symlink():
        return path.is_symlink() and goal.is_symlink() and path.readlink() == goal.readlink()
    here, there = path.stat(), goal.stat()
    alike = (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
    return os.path.samestat(here, there) or alike


def _remove(folder: Path) -> None:
    """Removes a folder, if it is there, with all that is in it."""
    if not folder.exists():
        return
    for at, names, _ in os.walk(folder):
        for path in (Path(at, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)  # files in it may be linked elsewhere; it may be read-only
    shutil.rmtree(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges the names of two folders in one step; False where the system or disk cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    sys.audit("os.rename", str(one), str(other), -1, -1)
    if rename(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))
