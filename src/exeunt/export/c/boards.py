"""Emulated machines: compilers, emulators, and where memories lie."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field

from exeunt.errors import ExeuntError

MIB = 1 << 20


@dataclass(frozen=True)
class Board:
    """An emulated machine.

    Attributes:
        machine: as the emulator calls it.
        flags: of the compiler.
        sources: its own start-up code, within `runtime/devices`.
        instructions_per_tick: of the board's clock; the emulator's nanosecond is an instruction.
        flash: where code lies, and how many bytes there may be.
        weights: the same of constants.
        ram: where it begins.
        roomy_ram_bytes: that there are to find out how many are needed.
        prefix: of the names of the compiler's tools.
        emulator: to run.
        options: of the emulator.
        libraries: that are linked last.
        packages: of Debian, which have both.
        ram_option: of the emulator, for boards that are given no more RAM than is needed since
            nothing else can fence it; `{}` is the number of bytes.
    """

    machine: str
    flags: tuple[str, ...]
    sources: tuple[str, ...]
    instructions_per_tick: float
    flash: tuple[int, int] = (0x00000000, 4 * MIB)
    weights: tuple[int, int] = (0x21000000, 16 * MIB)
    ram: int = 0x20000000
    roomy_ram_bytes: int = 4 * MIB
    prefix: str = "arm-none-eabi-"
    emulator: str = "qemu-system-arm"
    options: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    packages: str = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
    ram_option: str = field(default="", kw_only=True)

    def ram_options(self, ram_bytes: int) -> tuple[str, ...]:
        """What tells the emulator how much RAM there is, where that is the fence."""
        return tuple(self.ram_option.format(ram_bytes).split())


ARM = (
    "-mthumb", "-std=gnu99", "--specs=nano.specs", "--specs=nosys.specs",
)  # fmt: skip
START = "cortex_m/start.c"
V7M = (START, "cortex_m/fence_v7m.h", "cortex_m/ticks_mps2.c")
MPS2 = ('-DFENCE="fence_v7m.h"', "-DTIMER_AT=0x40002000u")
V8M = '-DFENCE="fence_v8m.h"'

BOARDS = {
    "cortex-m0": Board(
        "microbit",
        (*ARM, "-mcpu=cortex-m0", "-mfloat-abi=soft", '-DFENCE="fence_v6m.h"'),
        (START, "cortex_m/fence_v6m.h", "cortex_m/ticks_nrf51.c"),
        62.5,
        weights=(4 * MIB, 16 * MIB),
        options=("-global", f"nrf51-soc.flash-size={20 * MIB}"),
        ram_option="-global nrf51-soc.sram-size={}",
    ),
    "cortex-m3": Board("mps2-an385", (*ARM, "-mcpu=cortex-m3", "-mfloat-abi=soft", *MPS2), V7M, 40),
    "cortex-m4": Board(
        "mps2-an386",
        (*ARM, "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", *MPS2),
        V7M,
        40,
    ),
    "cortex-m7": Board(
        "mps2-an500",
        (*ARM, "-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", *MPS2),
        V7M,
        40,
        weights=(0x60000000, 16 * MIB),
    ),
    "cortex-m33": Board(
        "mps2-an505",
        (
            *(*ARM, "-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
            V8M,
            "-DTIMER_AT=0x50002000u",
        ),
        (START, "cortex_m/fence_v8m.h", "cortex_m/ticks_mps2.c"),
        50,
        flash=(0x10000000, 4 * MIB),
        weights=(0x80000000, 16 * MIB),
        ram=0x38000000,
    ),
    "cortex-m55": Board(
        "mps3-an547",
        (*ARM, "-mcpu=cortex-m55", "-mfloat-abi=hard", V8M),
        (START, "cortex_m/fence_v8m.h", "cortex_m/ticks_mps3.c"),
        31.25,
        flash=(0x10000000, MIB // 2),
        weights=(0x70000000, 16 * MIB),
        ram=0x31000000,
    ),
    "riscv32": Board(
        "virt",
        ("-march=rv32imc", "-mabi=ilp32", "-std=gnu99", "-ffreestanding", "-nostdlib"),
        ("riscv/start.c", "riscv/string.c", "riscv/string.h"),
        1,
        flash=(0x80000000, 4 * MIB),
        weights=(0x80400000, 16 * MIB),
        ram=0x81800000,
        prefix="riscv64-unknown-elf-",
        emulator="qemu-system-riscv32",
        options=("-bios", "none", "-m", "64M"),
        libraries=("-lgcc",),
        packages="gcc-riscv64-unknown-elf qemu-system-misc",
    ),
}


def find_board(device: str) -> Board:
    """The board of a device.

    Raises:
        ExeuntError: for another device, or missing tools.
    """
    if device not in BOARDS:
        raise ExeuntError(f"unknown device {device!r}; one of {', '.join(BOARDS)}")
    board = BOARDS[device]
    for tool in tools_of(board):
        if shutil.which(tool) is None:
            raise ExeuntError(f"{tool} is missing; on Debian: apt-get install {board.packages}")
    return board


def tools_of(board: Board) -> Sequence[str]:
    """What has to be installed."""
    return (f"{board.prefix}gcc", f"{board.prefix}size", board.emulator)


def can_emulate(device: str) -> bool:
    """Whether all that a device needs is installed."""
    return all(shutil.which(tool) for tool in tools_of(BOARDS[device]))
