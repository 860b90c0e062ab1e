"""An exported folder on an emulated Cortex-M, in exactly the memory that it claims."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from exeunt.errors import ExeuntError
from exeunt.export.c.host import ExitAnswer, run_tool
from exeunt.export.c.shape import Shape
from exeunt.files import AS_NAMED

COMPILER, EMULATOR, SIZE = "arm-none-eabi-gcc", "qemu-system-arm", "arm-none-eabi-size"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
START = files("exeunt") / "runtime" / "cortex_m"
PROGRAMS = ("main.c", "operators.c")

FLAGS = (
    "-mthumb", "-std=gnu99", "-O2", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections",
    "-Wall", "-Wextra", "-Werror", "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs",
    "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments",
)  # fmt: skip
FENCE_BYTES = 32  # what the memory protection unit can tell apart
ROOMY_STACK_BYTES, ROOMY_RAM_BYTES = 16384, 4 << 20
INSTRUCTIONS_PER_TICK = 40  # the emulator's nanosecond is an instruction, its clock 25 MHz


@dataclass(frozen=True)
class Board:
    """An emulated machine: compiler flags and where its memories lie."""

    machine: str
    flags: tuple[str, ...]
    flash: tuple[int, int] = (0x00000000, 0x400000)
    weights: tuple[int, int] = (0x21000000, 0x1000000)
    ram: int = 0x20000000


BOARDS = {
    "cortex-m4": Board("mps2-an386", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")),
    "cortex-m7": Board(
        "mps2-an500",
        ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        weights=(0x60000000, 0x1000000),
    ),
    "cortex-m3": Board("mps2-an385", ("-mcpu=cortex-m3", "-mfloat-abi=soft")),
}


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
    board = _board(device)
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        place = Path(temporary)
        objects = _compile(board, _gather(folder, name, place, "main.c"), place)
        program = place / "program.elf"
        _build(board, objects, program, ROOMY_STACK_BYTES, ROOMY_RAM_BYTES)
        *_, stack_bytes = _run(board, program, images, 1)
        stack_bytes = -(-stack_bytes // 8) * 8
        data_bytes = _sizes(program)["data"]
        total_bytes = -(-(stack_bytes + data_bytes) // FENCE_BYTES) * FENCE_BYTES
        _build(board, objects, program, stack_bytes, total_bytes)
        sizes = _sizes(program)
        answers, instructions, stack_bytes = _run(board, program, images, count)
    return DeviceRun(
        answers,
        instructions,
        stack_bytes,
        sizes["data"],
        total_bytes,
        sizes["code"],
        sizes["weights"],
    )


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
    board = _board(device)
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        place = Path(temporary)
        program = place / "program.elf"
        sources = [f"-DNODES={nodes}", *_gather(folder, name, place, "operators.c")]
        _build(board, sources, program, ROOMY_STACK_BYTES, ROOMY_RAM_BYTES)
        lines = _emulate(board, program, image, 1).splitlines()
    return [int(line.split()[1]) * INSTRUCTIONS_PER_TICK for line in lines]


def _board(device: str) -> Board:
    if device not in BOARDS:
        raise ExeuntError(f"unknown device {device!r}; one of {', '.join(BOARDS)}")
    for tool in (COMPILER, EMULATOR, SIZE):
        if shutil.which(tool) is None:
            raise ExeuntError(f"{tool} is missing; on Debian: apt-get install {PACKAGES}")
    return BOARDS[device]


def _gather(folder: Path, name: str, place: Path, program: str) -> list[str]:
    """What is compiled: the sources that were exported but their programs, and the start-up code
    with one of its own, which is written to `place`.
    """
    shape = Shape.read(folder.resolve())
    for item in START.iterdir():
        if item.name in PROGRAMS and item.name != program:
            continue
        text = item.read_text(encoding="utf-8")
        text = text.replace("@prefix@", name).replace("@PREFIX@", name.upper())
        (place / item.name).write_text(text, encoding="utf-8", errors=AS_NAMED)
    return [*shape.includes, *shape.sources(), *sorted(map(str, place.glob("*.c")))]


def _compile(board: Board, sources: Sequence[str], place: Path) -> list[str]:
    """Paths of the objects, in the order of the sources: what is linked twice is compiled once."""
    options = [word for word in sources if word.startswith("-")]
    objects = []
    for number, (_, group) in enumerate(groupby(sources[len(options) :], os.path.dirname)):
        paths, there = list(group), place / str(number)  # a program may be named as the network
        there.mkdir()
        run_tool([COMPILER, *board.flags, *FLAGS, *options, "-c", *paths], folder=there)
        objects += [str(there / f"{Path(path).stem}.o") for path in paths]
    return objects


def _build(
    board: Board, sources: Sequence[str], program: Path, stack_bytes: int, ram_bytes: int
) -> None:
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
    script = str(program.parent / "memory.ld")
    run_tool([COMPILER, *board.flags, *FLAGS, *sources, "-T", script, *symbols, "-o", str(program)])


def _sizes(program: Path) -> dict[str, int]:
    """Bytes of code, constants, and all that is not constant but the stack."""
    sections = {}
    for line in run_tool([SIZE, "-A", str(program)]).splitlines():
        words = line.split()
        if len(words) == 3 and words[0].startswith(".") and words[1].isdecimal():
            sections[words[0]] = int(words[1])
    return {
        "code": sections.get(".text", 0) + sections.get(".data", 0),
        "weights": sections.get(".rodata", 0),
        "data": sections.get(".data", 0) + sections.get(".bss", 0),
    }


def _emulate(board: Board, program: Path, images: Path, count: int) -> str:
    """What the program prints, given a file and a number."""
    words = ",".join(f"arg={word}" for word in ("program", str(images), str(count)))
    return run_tool(
        [
            EMULATOR, "-machine", board.machine, "-icount", "shift=0", "-display", "none",
            "-monitor", "none", "-serial", "null", "-chardev", "stdio,id=host",
            "-kernel", str(program), "-semihosting-config",
            f"enable=on,target=native,chardev=host,{words}",
        ]
    )  # fmt: skip


def _run(
    board: Board, program: Path, images: Path, count: int
) -> tuple[tuple[ExitAnswer, ...], tuple[int, ...], int]:
    answers, instructions, stack_bytes = [], [], 0
    for line in _emulate(board, program, images, count).splitlines():
        kind, *words_ = line.split()
        if kind == "exit":
            answers.append(ExitAnswer.read([*words_[:4], *map(_score, words_[5:])]))
            instructions.append(int(words_[4]) * INSTRUCTIONS_PER_TICK)
        elif kind == "stack":
            stack_bytes = int(words_[0])
    return tuple(answers), tuple(instructions), stack_bytes


def _score(word: str) -> str:
    """A score as this machine prints it; devices print floats as their bits."""
    if not word.startswith("0x"):
        return word
    (value,) = struct.unpack(">f", bytes.fromhex(word[2:]))
    return f"{value:.9g}"
