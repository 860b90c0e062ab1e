"""An exported folder in CMake: as a subfolder, installed, and for other machines."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exeunt.export.c.host import run_tool

Cmake = Callable[..., Path]

TOOLCHAINS = Path(__file__).parents[3] / "examples" / "mcu" / "cmake"

TOGETHER = """\
cmake_minimum_required(VERSION 3.16)
project(both C)
{found}
add_executable(both main.c both.c)
target_link_libraries(both PRIVATE exeunt::one exeunt::two)
"""
SUBFOLDERS = "add_subdirectory(one)\nadd_subdirectory(two)"
PACKAGES = "find_package(exeunt_one REQUIRED)\nfind_package(exeunt_two REQUIRED)"

STRING_H = """\
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
"""
"""All of a C library that the runtime needs."""


def project(everything: Path, place: Path, found: str) -> Path:
    """A project of both networks."""
    place.mkdir()
    for name in ("one", "two"):
        (place / name).symlink_to(everything / name)
    for name in ("main.c", "both.c"):
        shutil.copy(everything / name, place)
    (place / "CMakeLists.txt").write_text(TOGETHER.format(found=found))
    return place


def test_two_networks_share_a_runtime(everything: Path, tmp_path: Path, cmake: Cmake) -> None:
    built = cmake(project(everything, tmp_path / "both", SUBFOLDERS), tmp_path / "build")
    assert run_tool([str(built / "both")]) == ""
    assert len(list(built.rglob("libexeunt_runtime.a"))) == 1


def test_what_is_installed_is_found(everything: Path, tmp_path: Path, cmake: Cmake) -> None:
    """One network with its runtime from the folder, another alone that finds that runtime."""
    installed = tmp_path / "installed"
    prefix = f"-DCMAKE_INSTALL_PREFIX={installed}", f"-DCMAKE_PREFIX_PATH={installed}"
    one = cmake(everything / "one", tmp_path / "one", *prefix)
    assert "100% tests passed" in run_tool(["ctest", "--test-dir", str(one)])
    run_tool(["cmake", "--install", str(one)])
    alone = shutil.copytree(everything / "two" / "two", tmp_path / "alone")
    two = cmake(alone, tmp_path / "two", *prefix)
    assert not list(two.rglob("libexeunt_runtime.a"))
    run_tool(["cmake", "--install", str(two)])
    source = project(everything, tmp_path / "both", PACKAGES)
    built = cmake(source, tmp_path / "build", prefix[1])
    assert run_tool([str(built / "both")]) == ""


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no compiler for Cortex-M")
def test_a_program_for_a_cortex_m_links(everything: Path, tmp_path: Path, cmake: Cmake) -> None:
    chain = f"-DCMAKE_TOOLCHAIN_FILE={TOOLCHAINS / 'cortex-m4.cmake'}"
    source = project(everything, tmp_path / "both", SUBFOLDERS)
    built = cmake(source, tmp_path / "build", chain, "-DCMAKE_BUILD_TYPE=MinSizeRel")
    names = run_tool(["arm-none-eabi-nm", str(built / "both")])
    assert "exn_conv_s8_make" in names
    assert "exn_conv_f32_make" in names
    assert "exn_grid_pool_s8_make" not in names  # which nobody uses


@pytest.mark.skipif(shutil.which("riscv64-unknown-elf-gcc") is None, reason="none for RISC-V")
def test_the_libraries_build_for_risc_v(everything: Path, tmp_path: Path, cmake: Cmake) -> None:
    chain = f"-DCMAKE_TOOLCHAIN_FILE={TOOLCHAINS / 'riscv32.cmake'}"
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "string.h").write_text(STRING_H)
    source = project(everything, tmp_path / "both", SUBFOLDERS)
    flags = f"-DCMAKE_C_FLAGS=-ffreestanding -isystem {tmp_path / 'c'}"
    built = cmake(source, tmp_path / "build", chain, flags, target=["exeunt_one", "exeunt_two"])
    names = run_tool(["riscv64-unknown-elf-nm", str(next(built.rglob("libexeunt_one.a")))])
    assert " T one_init" in names
