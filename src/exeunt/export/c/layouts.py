"""What build systems want to find in an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from exeunt.errors import ExeuntError
from exeunt.export.c.templates import render

ALL = "all"

_LIBRARIES = {
    "exeunt_runtime/CMakeLists.txt": "cmake/runtime.cmake",
    "{prefix}/CMakeLists.txt": "cmake/network.cmake",
}

LAYOUTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "make": {"Makefile": "make/Makefile"},
        "cmake": {"CMakeLists.txt": "cmake/folder.cmake", **_LIBRARIES},
        "arduino": {
            "exeunt_runtime/library.properties": "arduino/runtime.properties",
            "{prefix}/library.properties": "arduino/network.properties",
            "{prefix}/examples/{prefix}_camera/{prefix}_camera.ino": "arduino/camera.ino",
        },
        "platformio": {
            "exeunt_runtime/library.json": "platformio/runtime.json",
            "{prefix}/library.json": "platformio/network.json",
        },
        "esp-idf": {
            "exeunt_runtime/idf_component.yml": "esp-idf/runtime.yml",
            "{prefix}/idf_component.yml": "esp-idf/network.yml",
            **_LIBRARIES,
        },
        "zephyr": {
            "exeunt_runtime/zephyr/module.yml": "zephyr/runtime_module.yml",
            "exeunt_runtime/zephyr/Kconfig": "zephyr/runtime_Kconfig",
            "exeunt_runtime/zephyr/CMakeLists.txt": "zephyr/runtime.cmake",
            "{prefix}/zephyr/module.yml": "zephyr/network_module.yml",
            "{prefix}/zephyr/Kconfig": "zephyr/network_Kconfig",
            "{prefix}/zephyr/CMakeLists.txt": "zephyr/network.cmake",
        },
        "cmsis-pack": {
            "exeunt_runtime/exeunt.exeunt_runtime.pdsc": "cmsis-pack/runtime.pdsc",
            "{prefix}/exeunt.{prefix}.pdsc": "cmsis-pack/network.pdsc",
        },
        "micropython": {
            "micropython/Makefile": "micropython/Makefile",
            "micropython/{prefix}_module.c": "micropython/module.c",
        },
    }
)
"""By build system: files below the exported folder, and the templates that they are made of."""

_ALWAYS = {"README.md": "README.md", "exeunt_runtime/LICENSE": "LICENSE"}


def check_layout(layout: str) -> None:
    """Refuses what is no layout.

    Raises:
        ExeuntError: naming those that there are.
    """
    if layout not in (ALL, *LAYOUTS):
        raise ExeuntError(f"layout must be one of {', '.join((ALL, *LAYOUTS))}, not {layout!r}")


def layout_files(layout: str, names: Mapping[str, Any]) -> dict[str, str]:
    """The text of each file that a build system needs, by its path below the folder.

    Args:
        layout: one of `LAYOUTS`, or `ALL` of them beside each other.
        names: what the templates name, `prefix` among them.

    Raises:
        ExeuntError: for a layout that there is not.
    """
    check_layout(layout)
    chosen = [*LAYOUTS] if layout == ALL else [layout]
    found = dict(_ALWAYS)
    for name in chosen:
        found |= LAYOUTS[name]
    return {
        place.format(prefix=names["prefix"]): render(template, **names, layouts=chosen)
        for place, template in found.items()
    }
