"""Loops whose cycles were counted by hand, from the tables of the processors' manuals."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exeunt.cycles import (
    CycleEstimate,
    Part,
    count_blocks,
    cycle_facts,
    cycle_table,
    estimate_counts,
    exit_cycles,
    find_part,
)
from exeunt.cycles.instruction import Instruction, disassemble, read_registers
from exeunt.cycles.parts import Flash
from exeunt.errors import ExeuntError
from exeunt.export.c.boards import can_emulate, find_board
from exeunt.export.c.device import Program, compile_sources, link, write_start

MAIN = """
#include "device.h"
#include "semihosting.h"

uint32_t numbers[64];
const uint32_t constants[1024] = {1};
void run(void);
__attribute__((noinline)) void print_answer(void) { __asm__ volatile(""); }
int main(void) { run(); return 0; }
"""
ARM = """
.syntax unified
.cpu CORE
.thumb
.balign 4
.global run
.thumb_func
.type run, %function
run:
    push {r4, r5, r6, lr}
BODY
    pop {r4, r5, r6, pc}
.ltorg
"""
RISCV = """
.balign 4
.global run
.type run, @function
run:
    addi sp, sp, -16
    sw ra, 0(sp)
BODY
    lw ra, 0(sp)
    addi sp, sp, 16
    ret
"""
STRETCHES = {
    "cortex-m4": (
        # 1; 100 x 1; 99 branches that are taken, 1 + P with P = 1; the last one, 1; the call 1
        ("movs r0, #100\n 1: subs r0, #1\n bne 1b", 1 + 100 + 99 * 2 + 1 + 1, 202),
        # a literal 2, 1; two loads 2 + 1, add 1, store 1, subtract 1; branches
        (
            "ldr r1, =numbers\n movs r0, #50\n 1: ldr r2, [r1]\n ldr r3, [r1, #4]\n adds r2, r3\n"
            " str r2, [r1, #8]\n subs r0, #1\n bne 1b",
            2 + 1 + 50 * (2 + 1 + 1 + 1 + 1) + 49 * 2 + 1 + 1,
            2 + 300 + 1,
        ),
        # a literal 2; add 1; a load whose address has only just been worked out, 2 + 1
        ("ldr r1, =numbers\n adds r2, r1, #4\n ldr r3, [r2]", 2 + 1 + 3 + 1, 4),
        # a literal 2; a load 2, and one that needs what it brings, which cannot begin early, 2
        ("ldr r1, =numbers\n str r1, [r1]\n ldr r2, [r1]\n ldr r3, [r2]", 2 + 1 + 2 + 2 + 1, 5),
        # a literal 2; a store with an offset in a register 2; a pair 1 + 2; four 1 + 4
        (
            "ldr r1, =numbers\n movs r0, #0\n str r0, [r1, r0]\n ldrd r2, r3, [r1]\n"
            " ldmia r1, {r2, r3, r4, r5}",
            2 + 1 + (2 + 1) + 3 + 5 + 1,
            6,
        ),
        # all multiplications take 1
        (
            "movs r0, #7\n mul r1, r0, r0\n mla r1, r0, r0, r1\n smull r2, r3, r0, r0\n"
            " smlad r1, r0, r0, r1\n smmul r1, r0, r0",
            6 + 1,
            7,
        ),
        # a literal 2; a word at an odd address in three parts: 2 + 2; one at an even one: 2 - 1 + 1
        ("ldr r1, =numbers\n nop\n ldr r2, [r1, #1]\n ldr r3, [r1, #6]", 2 + 1 + 4 + 2 + 1, 5),
    ),
    "cortex-m0": (
        # 1; 100 x 1; 99 branches that are taken, 3; the last one, 1; the call 4
        ("movs r0, #100\n 1: subs r0, #1\n bne 1b", 1 + 100 + 99 * 3 + 1 + 4, 202),
        # a literal 2, 1; two loads 2 + 2, add 1, store 2, subtract 1
        (
            "ldr r1, =numbers\n movs r0, #50\n 1: ldr r2, [r1]\n ldr r3, [r1, #4]\n adds r2, r3\n"
            " str r2, [r1, #8]\n subs r0, #1\n bne 1b",
            2 + 1 + 50 * (2 + 2 + 1 + 2 + 1) + 49 * 3 + 1 + 4,
            303,
        ),
        # a literal 2; four loads 1 + 4; the base is written back
        ("ldr r1, =numbers\n ldmia r1!, {r2, r3, r4, r5}\n muls r0, r2, r0", 2 + 5 + 1 + 4, 4),
    ),
    "riscv32": (
        # 1; 100 x 1; 99 branches that are taken, 3; the last one, 1; the call 2
        ("li t0, 100\n 1: addi t0, t0, -1\n bnez t0, 1b", 1 + 100 + 99 * 3 + 1 + 2, 202),
        # two of an address; a load 1, and what needs it 1 + 1; mul 1, mulh 5
        (
            "lui t1, %hi(numbers)\n addi t1, t1, %lo(numbers)\n lw t2, 0(t1)\n add t2, t2, t1\n"
            " mul t2, t2, t2\n mulh t2, t2, t2",
            1 + 1 + 1 + 2 + 1 + 5 + 2,
            7,
        ),
    ),
}


def build(device: str, stretches: list[str], place: Path) -> Program:
    """A program that runs each stretch in a window, and sets a mark behind it."""
    board = find_board(device)
    start = write_start(board, "loops", place)
    call = "jal ra," if device == "riscv32" else "bl"
    window = f"{call} device_ticks"
    body = "\n".join(
        f".balign 4\n {window}\n {one}\n {window}\n {call} print_answer" for one in stretches
    )
    text = (RISCV if device == "riscv32" else ARM).replace("BODY", body).replace("CORE", device)
    (place / "loops.S").write_text(text)
    (place / "main_loops.c").write_text(MAIN)
    sources = [*start, str(place / "main_loops.c"), str(place / "loops.S")]
    return link(board, compile_sources(board, sources, place), 4096, 65536)


def run(device: str, stretches: list[str], place: Path, part: Part) -> list[CycleEstimate]:
    program = build(device, stretches, place)
    counted = count_blocks(program, place / "loops.S", 0, part.flash)
    known = disassemble(program)
    return [estimate_counts(counts, known, part) for counts in counted]


@pytest.mark.parametrize("device", STRETCHES)
def test_cycles_are_those_of_the_manual(device: str, tmp_path: Path) -> None:
    if not can_emulate(device) or shutil.which("cc") is None:
        pytest.skip(f"an emulated {device} or a C compiler is missing")
    wanted = STRETCHES[device]
    found = run(device, [code for code, *_ in wanted], tmp_path, find_part(device))
    assert len(found) == len(wanted)
    for one, (code, cycles, instructions) in zip(found, wanted, strict=True):
        assert sum(count for count, _ in one.kinds.values()) == instructions, code
        assert one.cycles == cycles, code
        assert one.low <= one.cycles <= one.high
        assert sum(spent for _, spent in one.kinds.values()) <= one.cycles


@pytest.mark.skipif(
    not can_emulate("cortex-m4") or shutil.which("cc") is None,
    reason="needs qemu-system-arm, arm-none-eabi-gcc and a C compiler",
)
def test_lines_of_flash_are_waited_for_once_while_they_are_kept(tmp_path: Path) -> None:
    """Twice over 128 bytes of constants, which 16 lines of 16 hold, and over 1,024, which they do
    not; code is kept.
    """
    loop = (
        "movs r0, #2\n 1: ldr r1, =constants + {0}\n ldr r3, =constants + {1}\n"
        " 2: ldr r2, [r1], #4\n cmp r1, r3\n bne 2b\n subs r0, #1\n bne 1b"
    )
    code = [loop.format(0, 128), loop.format(1024, 2048)]
    program = build("cortex-m4", code, tmp_path)
    few, many = count_blocks(program, tmp_path / "loops.S", 0, Flash(5, 16, 64, 16))
    literals = range(1, 9)  # lines of code that hold addresses, some of them read again
    assert few.constant_misses - 128 // 16 in literals
    assert many.constant_misses - 2 * 1024 // 16 in literals
    assert max(few.code_misses, many.code_misses) < 8


def test_branches_cost_more_where_the_manual_says_so() -> None:
    timings = find_part("cortex-m4").timings
    branch = Instruction(0x100, 2, "bne", "80")
    assert (timings.cost(branch, None, False).cycles, branch.target) == (1, 0x80)
    assert timings.cost(branch, None, False).taken_cycles == 2
    assert timings.cost(branch, None, True).taken_cycles == 3
    for name in ("bl", "b", "bls", "blt", "ble", "cbz"):
        assert timings.cost(Instruction(0, 2, name, "80"), None, False).kind == "branch"
    for name in ("bic", "bics", "bfi", "bkpt"):
        assert timings.cost(Instruction(0, 2, name, "r0, r1"), None, False).kind == "other"
    back = Instruction(0, 2, "pop", "{r4, r5, pc}")
    assert timings.cost(back, None, False).taken_cycles == 1 + 3 + 2
    assert timings.cost(Instruction(0, 4, "udiv", "r0, r1, r2"), None, False).kind == "divide"


def test_a_core_without_flash_and_joules_has_no_columns_of_them() -> None:
    """100 cycles at 100 MHz are a microsecond; two answers of one image add up."""
    one = CycleEstimate(100, 90, 120, 0, {"load": (10, 20.0), "other": (80, 80.0)})
    found = exit_cycles([one, one], 2)
    facts = cycle_facts(found, 2, [1], find_part("riscv32"))
    assert [each["cycles"] for each in facts["exits"]] == [100, 200]
    assert facts["policy"]["ms"] == pytest.approx(0.002)
    assert facts["policy"]["kinds"]["load"] == {"instructions": 20, "cycles": 40}
    header, rows, _ = cycle_table(facts)
    assert header == ("exit", "cycles", "between", "ms")
    assert {len(row) for row in rows} == {4}


def test_energy_is_a_range_of_published_joules() -> None:
    """A million cycles, and half a million that flash waits, of 0.27 and 0.66 nJ."""
    facts = cycle_facts([CycleEstimate(1e6, 1e6, 1e6, 5e5, {})], 1, [0], find_part("cortex-m4"))
    assert facts["policy"]["mj"] == pytest.approx([0.27, 0.99])
    assert facts["policy"]["flash_ms"] == pytest.approx(12.5)


def test_registers_of_a_list_are_counted() -> None:
    assert read_registers("r8!, {r0, r4-r7, lr}") == ("r8", "r0", "r4", "r5", "r6", "r7", "r14")


def test_what_nobody_has_published_is_not_estimated() -> None:
    with pytest.raises(ExeuntError, match=r"cycles of cortex-m55: .* published; .*cortex-m0, "):
        find_part("cortex-m55")
