"""Processors that are estimated, and a part of each: its clock, its flash, its energy."""

from __future__ import annotations

from dataclasses import dataclass

from exeunt.cycles.arm import CortexM0, CortexM4
from exeunt.cycles.cost import Timings
from exeunt.cycles.riscv import Cv32e40p
from exeunt.errors import ExeuntError


@dataclass(frozen=True)
class Flash:
    """What is assumed of a part's flash.

    Attributes:
        wait_states: cycles that a line takes which is not kept.
        line_bytes: that are read at a time.
        code_lines: that are kept of those executed, the ones used last.
        constant_lines: that are kept of constants; 0 where both share the lines of code.
    """

    wait_states: int
    line_bytes: int
    code_lines: int
    constant_lines: int

    def __str__(self) -> str:
        kept = self.code_lines * self.line_bytes
        constants = self.constant_lines * self.line_bytes
        both = "code and constants" if not constants else f"code and {constants} of constants"
        lines = f"{self.wait_states} wait states, lines of {self.line_bytes} bytes"
        return f"{lines}, {kept} of {both} kept"


@dataclass(frozen=True)
class Part:
    """A processor, and silicon that has it.

    Attributes:
        core: the processor's name.
        timings: its rules.
        name: of the silicon.
        clock_mhz: that it runs at.
        flash: what is assumed of it; None for cores that are not sold as silicon.
        cycle_nj: least and most nanojoules of a cycle, from published joules and seconds.
        energy_source: of these.
    """

    core: str
    timings: Timings
    name: str
    clock_mhz: float
    flash: Flash | None = None
    cycle_nj: tuple[float, float] | None = None
    energy_source: str = ""


M3 = CortexM4(
    source="Cortex-M3 Technical Reference Manual r2p1, section 3.3",
    multiply_add=2,
    long_multiply=4,
    long_multiply_add=5.5,
)

PARTS = {
    "cortex-m0": Part("Cortex-M0", CortexM0(), "STM32F072", 48, Flash(1, 8, 2, 1)),
    "cortex-m3": Part("Cortex-M3", M3, "STM32F103", 72, Flash(2, 8, 2, 1)),
    "cortex-m4": Part(
        "Cortex-M4",
        CortexM4(),
        "STM32L4R5",
        120,
        Flash(5, 16, 64, 16),
        (0.27, 0.66),
        "MLPerf Tiny v1.1 and v1.3, closed division, joules on NUCLEO-L4R5ZI",
    ),
    "cortex-m33": Part(
        "Cortex-M33",
        CortexM4(source="the Cortex-M4's, since Arm prints none of the Cortex-M33"),
        "STM32U575",
        160,
        Flash(4, 16, 512, 0),
        (0.052, 0.17),
        "MLPerf Tiny v1.1 and v1.3, closed division, joules on NUCLEO-U575ZI-Q and U385RG-Q",
    ),
    "riscv32": Part("CV32E40P", Cv32e40p(), "a clock to scale by", 100),
}


def find_part(device: str) -> Part:
    """What a device is estimated as.

    Raises:
        ExeuntError: nobody has published the timings of its processor.
    """
    if device not in PARTS:
        raise ExeuntError(
            f"cycles of {device}: no timings of its instructions are published; "
            f"there are those of {', '.join(PARTS)}"
        )
    return PARTS[device]
