"""How often everything in a program is executed, counted by a plugin of the emulator."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from exeunt.cycles.parts import Flash
from exeunt.errors import ExeuntError
from exeunt.export.c.device import Program
from exeunt.export.c.host import find_compiler, run_tool

NO_FLASH = Flash(0, 16, 1, 0)


@dataclass(frozen=True)
class Counts:
    """What was executed until a mark, since the one before.

    Attributes:
        blocks: address of the first instruction, how many there are, how often they ran, and how
            often what came next did not lie behind them.
        code_misses: lines of code that had to be read from flash.
        constant_misses: lines of constants.
        unaligned_cycles: that accesses across their natural bounds cost more.
    """

    blocks: tuple[tuple[int, int, int, int], ...]
    code_misses: int
    constant_misses: int
    unaligned_cycles: int

    @property
    def instructions(self) -> int:
        """All that were executed."""
        return sum(length * count for _, length, count, _ in self.blocks)


def count_blocks(
    program: Program,
    images: Path,
    count: int,
    flash: Flash | None = None,
    *,
    window: str = "device_ticks",
    mark: str = "print_answer",
) -> list[Counts]:
    """Runs a program, and counts between marks what is executed within windows.

    Args:
        program: that was built for a board.
        images: its first argument.
        count: its second.
        flash: whose misses are counted.
        window: a function that opens and closes windows whenever it is entered.
        mark: a function that sets a mark whenever it is entered.

    Raises:
        ExeuntError: there is no compiler for the plugin, the emulator takes none, or the program
            fails.
    """
    flash = flash or NO_FLASH
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        plugin, out = Path(temporary) / "counter.so", Path(temporary) / "counts.txt"
        build_plugin(program.board.emulator, plugin)
        at = find_symbols(program)
        spans = [(low, low + size) for low, size in (program.board.flash, program.board.weights)]
        first, end = at[window]
        words = {
            "out": out, "window": f"{first}-{end}", "mark": at[mark][0],
            "line": flash.line_bytes, "code": flash.code_lines, "data": flash.constant_lines,
        }  # fmt: skip
        options = [str(plugin), *(f"{key}={value}" for key, value in words.items())]
        options += [f"flash={low}-{high}" for low, high in spans]
        program.run(images, count, "-plugin", ",".join(options))
        return read_counts(out.read_text(encoding="ascii"))


def find_symbols(program: Program) -> dict[str, tuple[int, int]]:
    """Where what a program names begins and ends."""
    lines = run_tool([f"{program.board.prefix}nm", "-S", str(program.path)]).splitlines()
    rows = [(int(row[0], 16), int(row[1], 16), row[3]) for row in map(str.split, lines) if row[3:]]
    return {name: (at, at + size) for at, size, name in rows}


def build_plugin(emulator: str, plugin: Path) -> None:
    """Compiles the plugin for one of QEMU's programs.

    Raises:
        ExeuntError: there is no compiler or no emulator, or it does not tell its version.
    """
    said = run_tool([emulator, "--version"])
    found = re.search(r"version (\d+)\.", said)
    if found is None:
        raise ExeuntError(f"{emulator} does not tell its version, but {said.strip()!r}")
    version = 1 if int(found[1]) < 9 else 2  # 9 and later take nothing older
    with as_file(files("exeunt") / "cycles" / "counter.c") as source:
        options = ["-O2", "-fPIC", "-shared", f"-DPLUGIN_VERSION={version}"]
        run_tool([*find_compiler(), *options, str(source), "-o", str(plugin)])


def read_counts(text: str) -> list[Counts]:
    """What the plugin wrote at each mark."""
    found = []
    for part in text.split("mark ")[1:]:
        first, *rows = part.splitlines()
        code, constants, unaligned = map(int, first.split())
        blocks = [tuple(map(int, row.split())) for row in rows]
        found.append(
            Counts(tuple((a, n, c, t) for a, n, c, t in blocks), code, constants, unaligned)
        )
    return found
