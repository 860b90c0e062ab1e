"""The Zephyr modules of an exported folder, with a stand-in for the functions of Zephyr."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from exeunt.export.c.host import run_tool

STANDS_IN = """\
cmake_minimum_required(VERSION 3.16)
project(firmware C)
{configured}

add_library(zephyr_interface INTERFACE)
function(zephyr_include_directories)
  foreach(folder IN LISTS ARGN)
    get_filename_component(absolute ${{folder}} ABSOLUTE)
    target_include_directories(zephyr_interface INTERFACE ${{absolute}})
  endforeach()
endfunction()
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${{name}})
  add_library(${{name}} STATIC)
  target_link_libraries(${{name}} PUBLIC zephyr_interface)
  set_property(GLOBAL APPEND PROPERTY ZEPHYR_LIBS ${{name}})
endmacro()
function(zephyr_library_sources)
  target_sources(${{ZEPHYR_CURRENT_LIBRARY}} PRIVATE ${{ARGN}})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(${{ZEPHYR_CURRENT_LIBRARY}} PRIVATE ${{ARGN}})
endfunction()

cmake_policy(SET CMP0076 NEW)
{modules}
get_property(libraries GLOBAL PROPERTY ZEPHYR_LIBS)
add_executable(firmware main.c both.c)
target_link_libraries(firmware PRIVATE -Wl,--start-group ${{libraries}} -Wl,--end-group)
"""


def modules(everything: Path) -> dict[str, Path]:
    """In the order that `depends` asks for."""
    found = {"exeunt_runtime": everything / "one" / "exeunt_runtime"}
    return found | {name: everything / name / name for name in ("one", "two")}


def options(kconfig: Path) -> tuple[str, list[str]]:
    """The option that a Kconfig file defines, and those that it selects."""
    text = kconfig.read_text()
    (name,) = re.findall(r"^config (\w+)$", text, re.MULTILINE)
    return name, re.findall(r"^\tselect (\w+)$", text, re.MULTILINE)


def test_two_modules_and_their_runtime(
    everything: Path, tmp_path: Path, cmake: Callable[..., Path]
) -> None:
    """`prj.conf` has the two networks; the runtime is selected by them."""
    chosen, lines = {"EXEUNT_ONE", "EXEUNT_TWO"}, []
    for place in modules(everything).values():
        name, needed = options(place / "zephyr" / "Kconfig")
        if name in chosen:
            chosen |= set(needed)
        lines.append(f"add_subdirectory({place / 'zephyr'} {tmp_path / 'modules' / place.name})")
    configured = "\n".join(f"set(CONFIG_{name} y)" for name in sorted(chosen))
    source = tmp_path / "app"
    source.mkdir()
    for name in ("main.c", "both.c"):
        (source / name).symlink_to(everything / name)
    text = STANDS_IN.format(configured=configured, modules="\n".join(lines))
    (source / "CMakeLists.txt").write_text(text)
    built = cmake(source, tmp_path / "build")
    assert run_tool([str(built / "firmware")]) == ""


def test_a_network_that_is_not_configured_is_not_built(
    everything: Path, tmp_path: Path, cmake: Callable[..., Path]
) -> None:
    source = tmp_path / "app"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(firmware C)\n"
        f"add_subdirectory({everything / 'one' / 'one' / 'zephyr'} here)\n"
    )  # none of Zephyr's functions is there to be called
    cmake(source, tmp_path / "build")


def test_module_yml_follows_the_schema(everything: Path) -> None:
    """Of the schema in Zephyr's zephyr_module.py what these modules use."""
    yaml = pytest.importorskip("yaml")
    for name, place in modules(everything).items():
        told = yaml.safe_load((place / "zephyr" / "module.yml").read_text())
        assert told.keys() == {"name", "build"}
        assert told["name"] == name
        assert told["build"].keys() <= {"cmake", "kconfig", "depends"}
        assert (place / told["build"]["cmake"] / "CMakeLists.txt").is_file()
        assert (place / told["build"]["kconfig"]).is_file()
        wanted = [] if name == "exeunt_runtime" else ["exeunt_runtime"]
        assert told["build"].get("depends", []) == wanted


def test_kconfig_is_read_by_kconfiglib(everything: Path, tmp_path: Path) -> None:
    kconfiglib = pytest.importorskip("kconfiglib")
    root = tmp_path / "Kconfig"
    root.write_text("".join(f'source "{p}/zephyr/Kconfig"\n' for p in modules(everything).values()))
    found = kconfiglib.Kconfig(str(root), warn_to_stderr=False)
    assert found.warnings == []
    found.syms["EXEUNT_TWO"].set_value("y")
    values = {name: found.syms[f"EXEUNT_{name}"].str_value for name in ("RUNTIME", "ONE", "TWO")}
    assert values == {"RUNTIME": "y", "ONE": "n", "TWO": "y"}
