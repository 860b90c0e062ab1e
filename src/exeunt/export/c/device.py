"""An exported folder on an emulated device, in exactly the memory that it claims."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from exeunt.export.c.boards import Board, find_board
from exeunt.export.c.host import ExitAnswer, run_tool
from exeunt.export.c.shape import Shape
from exeunt.files import AS_NAMED

START = files("exeunt") / "runtime" / "devices"
PROGRAMS = ("main.c", "operators.c")

FLAGS = (
    "-O2", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections",
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
LINKED = ("-nostartfiles", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments")
FENCE_BYTES = 32  # what every kind of memory protection can tell apart
ROOMY_STACK_BYTES = 16384


@dataclass(frozen=True)
class DeviceRun:
    """What was measured.

    Attributes:
        answers: of every exit, image after image.
        instructions: until each answer, in the same order.
        stack_bytes: the most that was used, and all that there was.
        data_bytes: the arena, the state and whatever else is not constant.
        total_bytes: stack and data: all of the RAM, fenced.
        code_bytes: of flash.
        weights_bytes: of flash, all constants.
    """

    answers: tuple[ExitAnswer, ...]
    instructions: tuple[int, ...]
    stack_bytes: int
    data_bytes: int
    total_bytes: int
    code_bytes: int
    weights_bytes: int


def run_device(
    folder: Path, name: str, images: Path, count: int, device: str = "cortex-m4"
) -> DeviceRun:
    """Builds for a device, measures the stack, and runs again with no more RAM than is needed.

    Args:
        folder: an exported one.
        name: its prefix.
        images: raw images one after the other.
        count: how many.
        device: one of `BOARDS`.

    Raises:
        ExeuntError: for another device, missing tools, or a program that fails, as it does when it
            reaches beyond its RAM.
    """
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        return run_program(
            build_fenced(folder, name, images, Path(temporary), device), images, count
        )


def run_program(program: Program, images: Path, count: int) -> DeviceRun:
    """Runs what was built on images, and says what it took.

    Raises:
        ExeuntError: it fails, as it does when it reaches beyond its RAM.
    """
    answers, instructions, stack_bytes = _run(program, images, count)
    sizes = program.sizes()
    return DeviceRun(
        answers,
        instructions,
        stack_bytes,
        sizes["data"],
        program.ram_bytes,
        sizes["code"],
        sizes["weights"],
    )


def build_fenced(folder: Path, name: str, images: Path, place: Path, device: str) -> Program:
    """Builds for a device with as much stack as the first image was seen to use, and no more RAM.

    Args:
        folder: an exported one.
        name: its prefix.
        images: raw images one after the other.
        place: a folder to build in.
        device: one of `BOARDS`.

    Raises:
        ExeuntError: for another device, missing tools, or a program that fails.
    """
    board = find_board(device)
    compiled = compile_sources(board, gather(board, folder, name, place, "main.c"), place)
    roomy = link(board, compiled, ROOMY_STACK_BYTES, board.roomy_ram_bytes)
    *_, stack_bytes = _run(roomy, images, 1)
    stack_bytes = -(-stack_bytes // 8) * 8
    needed = stack_bytes + roomy.sizes()["data"]
    return link(board, compiled, stack_bytes, -(-needed // FENCE_BYTES) * FENCE_BYTES)


def count_instructions(
    folder: Path, name: str, image: Path, nodes: int, device: str = "cortex-m4"
) -> list[int]:
    """Instructions of each of a model's nodes for one image, and last those that take it in.

    Args:
        folder: an exported one.
        name: its prefix.
        image: a raw one.
        nodes: that are written.
        device: one of `BOARDS`.

    Raises:
        ExeuntError: for another device, missing tools, or a program that fails.
    """
    board = find_board(device)
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        place = Path(temporary)
        sources = [f"-DNODES={nodes}", *gather(board, folder, name, place, "operators.c")]
        compiled = compile_sources(board, sources, place)
        program = link(board, compiled, ROOMY_STACK_BYTES, board.roomy_ram_bytes)
        lines = program.run(image, 1).splitlines()
    return [round(int(line.split()[1]) * board.instructions_per_tick) for line in lines]


def gather(board: Board, folder: Path, name: str, place: Path, program: str) -> list[str]:
    """What is compiled: the sources that were exported but their programs, and the start-up code
    with one of its own, which is written to `place`.
    """
    shape = Shape.read(folder)
    return [*write_start(board, name, place, program), *shape.includes, *shape.sources()]


def write_start(board: Board, name: str, place: Path, program: str = "") -> list[str]:
    """Writes the start-up code of a board, and one of the programs; returns what is compiled."""
    common = [item.name for item in START.iterdir() if item.is_file()]
    chosen = [item for item in common if item == program or item not in PROGRAMS]
    for item in (*chosen, *board.sources):
        text = START.joinpath(*item.split("/")).read_text(encoding="utf-8")
        text = text.replace("@prefix@", name).replace("@PREFIX@", name.upper())
        target = place / item.rpartition("/")[2]
        target.write_text(text, encoding="utf-8", errors=AS_NAMED)
    return [f"-I{place}", *sorted(map(str, place.glob("*.c")))]


@dataclass(frozen=True)
class Program:
    """What was built.

    Attributes:
        board: that it is for.
        path: of the file.
        ram_bytes: that it may reach.
    """

    board: Board
    path: Path
    ram_bytes: int

    def sizes(self) -> dict[str, int]:
        """Bytes of code, constants, and all that is not constant but the stack."""
        sections = {}
        for line in run_tool([f"{self.board.prefix}size", "-A", str(self.path)]).splitlines():
            words = line.split()
            if len(words) == 3 and words[0].startswith(".") and words[1].isdecimal():
                sections[words[0]] = int(words[1])
        return {
            "code": sections.get(".text", 0) + sections.get(".data", 0),
            "weights": sections.get(".rodata", 0),
            "data": sections.get(".data", 0) + sections.get(".bss", 0),
        }

    def run(self, images: Path, count: int, *options: str) -> str:
        """What it prints, given a file and a number, in an emulator with more options."""
        words = ",".join(f"arg={word}" for word in ("program", str(images), str(count)))
        chosen = options or ("-icount", "shift=0")
        return run_tool(
            [
                self.board.emulator, "-machine", self.board.machine, *self.board.options,
                *self.board.ram_options(self.ram_bytes), *chosen, "-display", "none",
                "-monitor", "none", "-serial", "null", "-chardev", "stdio,id=host",
                "-kernel", str(self.path), "-semihosting-config",
                f"enable=on,target=native,chardev=host,{words}",
            ]
        )  # fmt: skip


def compile_sources(board: Board, sources: Sequence[str], place: Path) -> Path:
    """Compiles for a board, into one file in the folder of its start-up code.

    Raises:
        ExeuntError: the compiler refuses; what it says is told.
    """
    compiled = place / "program.o"
    command = [f"{board.prefix}gcc", *board.flags, *FLAGS, "-r", "-nostdlib", *sources]
    run_tool([*command, "-o", str(compiled)])
    return compiled


def link(board: Board, compiled: Path, stack_bytes: int, ram_bytes: int) -> Program:
    """Links what was compiled, with so much stack within so much RAM.

    Raises:
        ExeuntError: it does not fit; what the linker says is told.
    """
    numbers = {
        "FLASH_AT": board.flash[0],
        "FLASH_SIZE": board.flash[1],
        "WEIGHTS_AT": board.weights[0],
        "WEIGHTS_SIZE": board.weights[1],
        "RAM_AT": board.ram,
        "RAM_SIZE": ram_bytes,
        "STACK_SIZE": stack_bytes,
    }
    symbols = [f"-Wl,--defsym={name}={number}" for name, number in numbers.items()]
    program, script = compiled.with_suffix(".elf"), compiled.with_name("memory.ld")
    command = [f"{board.prefix}gcc", *board.flags, *FLAGS, *LINKED, str(compiled), *board.libraries]
    run_tool([*command, "-T", str(script), *symbols, "-o", str(program)])
    return Program(board, program, ram_bytes)


def _run(
    program: Program, images: Path, count: int
) -> tuple[tuple[ExitAnswer, ...], tuple[int, ...], int]:
    answers, instructions, stack_bytes = [], [], 0
    for line in program.run(images, count).splitlines():
        kind, *words = line.split()
        if kind == "exit":
            answers.append(ExitAnswer.read([*words[:4], *map(_score, words[5:])]))
            instructions.append(round(int(words[4]) * program.board.instructions_per_tick))
        elif kind == "stack":
            stack_bytes = int(words[0])
    return tuple(answers), tuple(instructions), stack_bytes


def _score(word: str) -> str:
    """A score as this machine prints it; devices print floats as their bits."""
    if not word.startswith("0x"):
        return word
    (value,) = struct.unpack(">f", bytes.fromhex(word[2:]))
    return f"{value:.9g}"
