"""The ESP-IDF components of an exported folder, with a stand-in for the functions of the IDF."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from exeunt.export.c.host import run_tool

STANDS_IN = """\
cmake_minimum_required(VERSION 3.16)
project(firmware C)
set(ESP_PLATFORM 1)

# As the IDF has it: one library for each folder of components/, named for the folder.
function(idf_component_register)
  cmake_parse_arguments(ARG "" "" "SRCS;INCLUDE_DIRS;REQUIRES" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  get_filename_component(name ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  add_library(__idf_${name} STATIC ${ARG_SRCS})
  target_include_directories(__idf_${name} PUBLIC ${ARG_INCLUDE_DIRS})
  foreach(needed IN LISTS ARG_REQUIRES)
    target_link_libraries(__idf_${name} PUBLIC __idf_${needed})
  endforeach()
  set(COMPONENT_LIB __idf_${name} PARENT_SCOPE)
endfunction()

file(GLOB components components/*)
foreach(folder IN LISTS components)
  if(EXISTS ${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endforeach()
add_executable(firmware main.c both.c)
target_link_libraries(firmware PRIVATE __idf_one __idf_two)
"""


def test_two_components_and_their_runtime(
    everything: Path, tmp_path: Path, cmake: Callable[..., Path]
) -> None:
    components = tmp_path / "project" / "components"
    components.mkdir(parents=True)
    (components / "exeunt_runtime").symlink_to(everything / "one" / "exeunt_runtime")
    for name in ("one", "two"):
        (components / name).symlink_to(everything / name / name)
    for name in ("main.c", "both.c"):
        (components.parent / name).symlink_to(everything / name)
    (components.parent / "CMakeLists.txt").write_text(STANDS_IN)
    built = cmake(components.parent, tmp_path / "build")
    assert run_tool([str(built / "firmware")]) == ""


def test_the_manifest_follows_the_schema(everything: Path) -> None:
    """Of what `idf_component.yml` may hold, what is there is as it has to be."""
    yaml = pytest.importorskip("yaml")
    known = {"version", "description", "license", "dependencies", "url", "tags", "targets"}
    for place in ("exeunt_runtime", "one"):
        told = yaml.safe_load((everything / "one" / place / "idf_component.yml").read_text())
        assert told.keys() <= known
        assert re.fullmatch(r"\d+\.\d+\.\d+", told["version"])
        assert isinstance(told["description"], str)
        assert told["dependencies"] == {"idf": ">=4.4"}
