"""Where the parts of an exported folder lie: the runtime, the network, an example, a test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from exeunt.errors import ExeuntError
from exeunt.export.c.report import FILE, read_listing

RUNTIME = "exeunt_runtime"
"""Folder and name of the library that all networks share."""

CLASSIFY, SELF_TEST = "example/classify.c", "tests/self_test.c"
"""The programs: one that classifies images, and one that tests the network."""

_SOURCE = re.compile(r"exn_\w+\.c")


def runtime_place(file: str) -> str:
    """Where a file of the runtime lies, below the exported folder."""
    return f"{RUNTIME}/src/{file}"


def network_place(name: str, file: str) -> str:
    """Where a file of the network `name` lies, below the exported folder."""
    return f"{name}/src/{file}"


@dataclass(frozen=True)
class Shape:
    """What of an exported folder is compiled.

    Attributes:
        folder: where it lies.
        name: prefix of the network, and its folder.
        runtime: the sources of the runtime that this network uses, without folders.
        own: files of kernels that are not the runtime's, which lie with the network.
    """

    folder: Path
    name: str
    runtime: tuple[str, ...]
    own: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> Shape:
        """The shape of a folder, from its report.

        Raises:
            ExeuntError: when it is no exported folder.
        """
        folder = Path(folder)
        listing = read_listing(folder)
        odd = [file for file in listing.runtime if not _SOURCE.fullmatch(file)]
        odd += [file for file in listing.own if Path(file).name != file]
        if odd or not re.fullmatch(r"[a-z]\w*", listing.name, re.ASCII):
            raise ExeuntError(
                f"{folder / FILE}: {(odd or [listing.name])[0]!r} is no name of what is exported"
            )
        return cls(folder, listing.name, listing.runtime, listing.own)

    @property
    def includes(self) -> list[str]:
        """Options of a compiler, so that it finds the headers."""
        return [f"-I{self.folder / RUNTIME / 'src'}", f"-I{self.folder / self.name / 'src'}"]

    @property
    def own_sources(self) -> list[str]:
        """Names of the sources among the files of kernels that are not the runtime's."""
        return [file for file in self.own if file.endswith(".c")]

    def sources(self, *programs: str) -> list[str]:
        """Paths of the sources: the runtime, as far as it is used, the network, and programs."""
        network = [network_place(self.name, f"{self.name}{end}.c") for end in ("", "_self_test")]
        network += [network_place(self.name, file) for file in self.own_sources]
        files = [*map(runtime_place, self.runtime), *network, *programs]
        return [str(self.folder / file) for file in files]
