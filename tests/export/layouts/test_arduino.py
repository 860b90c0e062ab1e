"""The Arduino libraries of an exported folder, and PlatformIO's description of the same."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from exeunt.export.c.host import run_tool

needs_compilers = pytest.mark.skipif(
    shutil.which("g++") is None or shutil.which("cc") is None, reason="there is no compiler"
)

ARDUINO_H = """\
/* A stand-in: as much of Arduino as a sketch of exeunt needs. */
#include <stdint.h>
#include <stdio.h>

struct Terminal {
    void begin(unsigned long) {}
    void print(const char *text) { printf("%s", text); }
    void print(int number) { printf("%d", number); }
    void println(const char *text) { printf("%s\\n", text); }
    void println(unsigned long number) { printf("%lu\\n", number); }
};
extern Terminal Serial;
unsigned long millis();
void delay(unsigned long);
"""
CORE = """\
#include <cstdio>
#include "Arduino.h"
Terminal Serial;
static unsigned long now;
unsigned long millis() { return now; }
void delay(unsigned long ms) { now += ms; }
void setup();
void loop();
int main() { setup(); loop(); loop(); }
"""
TWO = """\
extern "C" int test_both(void);
void setup() { Serial.begin(9600); }
void loop() { Serial.println(test_both() ? "FAILED" : "passed"); }
"""


def libraries(everything: Path, *names: str) -> dict[str, Path]:
    """What lies in the sketchbook: the runtime, and networks."""
    found = {name: everything / name / name for name in names}
    return {"exeunt_runtime": everything / names[0] / "exeunt_runtime", **found}


def properties(folder: Path) -> dict[str, str]:
    lines = (folder / "library.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def build_sketch(sketch: str, found: dict[str, Path], place: Path, *more: Path) -> str:
    """Builds a sketch as the IDE does: its own text as C++ behind Arduino.h, of every library all
    sources in src, which is where headers are found too. Returns what it prints.
    """
    (place / "Arduino.h").write_text(ARDUINO_H)
    (place / "core.cpp").write_text(CORE)
    (place / "sketch.cpp").write_text(f'#include "Arduino.h"\n{sketch}')
    includes = [f"-I{place}", *(f"-I{folder / 'src'}" for folder in found.values())]
    sources = [path for folder in found.values() for path in (folder / "src").rglob("*.c")]
    objects = place / "objects"
    objects.mkdir()
    for path in (*sources, *more):
        (objects / path.name).symlink_to(path)
    script = f"cd {objects} && cc -std=gnu11 -w -c {' '.join(includes)} *.c"
    run_tool(["sh", "-c", script])
    strict = ("-std=gnu++11", "-Wall", "-Wextra", "-Werror")
    program = str(place / "program")
    made = sorted(map(str, objects.glob("*.o")))
    cpp = [str(place / "core.cpp"), str(place / "sketch.cpp")]
    run_tool(["g++", *strict, *includes, *cpp, *made, "-o", program])
    return run_tool([program])


@needs_compilers
def test_the_example_sketch_reads_a_camera(everything: Path, tmp_path: Path) -> None:
    sketch = everything / "one" / "one" / "examples" / "one_camera" / "one_camera.ino"
    said = build_sketch(sketch.read_text(), libraries(everything, "one"), tmp_path)
    lines = said.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"class [0-4] at exit [1-3] in ms: 0", line) for line in lines)


@needs_compilers
def test_a_sketch_has_two_networks(everything: Path, tmp_path: Path) -> None:
    found = libraries(everything, "one", "two")
    assert build_sketch(TWO, found, tmp_path, everything / "both.c") == "passed\npassed\n"


NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9 _.-]*")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
CATEGORIES = {
    *("Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing"),
    *("Data Storage", "Data Processing", "Other"),
}
"""As arduino-lint's schema of library.properties has them."""


def test_properties_follow_the_schema(everything: Path) -> None:
    for name, folder in libraries(everything, "one", "two").items():
        told = properties(folder)
        assert told["name"] == name
        assert NAME.fullmatch(told["name"])
        assert len(told["name"]) <= 63
        assert VERSION.fullmatch(told["version"])
        assert told["category"] in CATEGORIES
        for key in ("author", "maintainer", "sentence", "url", "architectures", "includes"):
            assert told[key], key
        assert not told["maintainer"].lower().startswith("arduino")
        assert re.fullmatch(r"[a-z][a-z0-9+.-]*:\S+", told["url"])
        assert (folder / "src" / told["includes"]).is_file()
        assert told.get("dot_a_linkage", "false") in ("true", "false")
        if name != "exeunt_runtime":
            assert told["depends"] == "exeunt_runtime"
            (sketch,) = (folder / "examples").rglob("*.ino")
            assert sketch.stem == sketch.parent.name  # or it does not open
        sources = [path for path in folder.rglob("*.c") if path.parent.name != "src"]
        assert sources == []  # the IDE would not see them


@needs_compilers
def test_platformio_builds_two_networks(everything: Path, tmp_path: Path) -> None:
    """By what `library.json` says of sources, headers, flags, and of what a library depends on."""
    found = {
        name: (folder, json.loads((folder / "library.json").read_text()))
        for name, folder in libraries(everything, "one", "two").items()
    }
    chosen = {"one", "two"}
    for name in ("one", "two"):
        chosen |= {needed["name"] for needed in found[name][1]["dependencies"]}
    command = ["cc", "-std=gnu11", str(everything / "both.c"), str(everything / "main.c")]
    for name in chosen:
        folder, told = found[name]
        build = told["build"]
        command += [f"-I{folder / build['includeDir']}", *build.get("flags", [])]
        command += map(str, sorted((folder / build["srcDir"]).rglob("*.c")))
    program = str(tmp_path / "program")
    run_tool([*command, "-o", program])
    assert run_tool([program]) == ""


def test_library_json_follows_the_schema(everything: Path) -> None:
    """PlatformIO's `library.json`: names, a semantic version, and folders that are there."""
    for name, folder in libraries(everything, "one", "two").items():
        told = json.loads((folder / "library.json").read_text())
        assert told["name"] == name
        assert re.fullmatch(r"[a-zA-Z0-9_. -]{1,100}", told["name"])
        assert VERSION.fullmatch(told["version"])
        assert 1 <= len(told["description"]) <= 1000
        assert all(re.fullmatch(r"[a-z\d][a-z\d\- ]*", key) for key in told["keywords"])
        assert (folder / "src" / told["headers"]).is_file()
        assert {told["frameworks"], told["platforms"]} == {"*"}
        assert told["build"].keys() <= {"srcDir", "includeDir", "flags"}
        assert all((folder / told["build"][key]).is_dir() for key in ("srcDir", "includeDir"))
        if name != "exeunt_runtime":
            (needed,) = told["dependencies"]
            assert needed == {"name": "exeunt_runtime", "version": told["version"]}
