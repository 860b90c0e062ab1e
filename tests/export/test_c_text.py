"""What users may write where C is generated: names of classes, titles, prefixes."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Float32, Shape, build_host, check_prefix, prefix_of, write_c
from exeunt.export.c.host import STRICT, run_tool
from exeunt.export.c.spelling import comment, string
from exeunt.graph import build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.policies import parse_policy

COMPILES = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
SIZE = (6, 5)

NAMES = (
    "plain",
    "",
    "100 % \\n %s",
    "日本語",
    "𠮷 rare",
    "🦊",
    "\x01\x1f\x7f",
    "next\x85line\u2028para",
    "line\nfeed\r\ttab",
    "quote\"s and 's",
    "back\\slash\\",
    "??/ ??' ??< ??=",
    'x??/"};int main(void){return 7;}//',
    '"};*/ int a;',
    "*/ /* // \\\n",
    "\x1b9 and 9",
    "\u202eturned\u202d",
    "file \udcff\udc80 name",
)


def tiny(chained: Callable[..., MultiExitNet], classes: int) -> MultiExitNet:
    torch.manual_seed(0)
    net = chained(3, [(nn.Conv2d(3, 4, 1), 4)], [])
    for stage in net.stages:
        stage.exit.classifier = nn.Linear(4, classes)
    net.num_classes = classes
    return net.eval()


def written(
    net: MultiExitNet,
    folder: Path,
    names: Sequence[str],
    title: str = "",
    prefix: str = "net",
) -> Path:
    numbers, plan = Float32(parse_policy("full")), plan_stream(build_graph(net, SIZE), 4)
    write_c(CModel(prefix, title, numbers, plan, Transform(SIZE), names, {}), folder)
    return folder


def made_up(count: int) -> list[str]:
    """Names of characters that mean something to a compiler, a terminal or an encoding."""
    chance = random.Random(0)
    alphabet = "?/\\\"'*%{};#0a \n\x01\x7f\x85é日🦊\u202e\udc99"
    return ["".join(chance.choices(alphabet, k=chance.randrange(1, 12))) for _ in range(count)]


@COMPILES
def test_names_come_back_from_the_program_as_the_same_bytes(
    chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    names = [*NAMES, *made_up(200)]
    title = f"{''.join(NAMES)} */ #error closed /* \\"
    folder = written(tiny(chained, len(names)), tmp_path / "c", names, title)
    for path in folder.rglob("*.[ch]"):
        path.read_bytes().decode("ascii")
    assert json.loads((folder / "report.json").read_text())["class_names"] == names
    (folder / "example" / "classify.c").write_text(
        '#include "net.h"\n#include <stdio.h>\n#include <string.h>\n'
        "int main(void)\n{\n    unsigned k;\n    for (k = 0; k < NET_CLASSES; k++) {\n"
        "        fwrite(net_class_names[k], 1, strlen(net_class_names[k]) + 1, stdout);\n"
        "    }\n    return 0;\n}\n"
    )
    build_host(folder, tmp_path / "program", ("-O0", "-Wtrigraphs"))
    said = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    assert said.split(b"\0")[:-1] == [os.fsencode(name) for name in names]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\0b", r"class name 'a\\x00b' holds a NUL, at which strings end in C; rename"),
        ("a\ud800", r"'\\ud800' is half of a character"),
        ("long" * 1024, "has 4096 bytes; strings in C have at most 4095"),
    ],
)
def test_what_no_string_holds_is_refused(
    name: str, said: str, chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    with pytest.raises(ExeuntError, match=said):
        written(tiny(chained, 2), tmp_path / "c", ["a", name])
    assert not (tmp_path / "c").exists()


def test_strings_and_comments_by_hand() -> None:
    assert string('a"b\\c?é\n7') == r'"a\042b\134c\?\303\251\0127"'
    assert comment("a */ b /*/ c ??/ é\n\\") == r"a * / b / * / c ? ?/ \xe9\n\ ."


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("main", "the runtime has files or names of this kind; give another, .* 'net_main'"),
        ("exn", "the runtime has"),
        ("exn_engine", "the runtime has"),
        ("exn_mine", "the runtime has"),
        ("self_test", "the runtime has"),
        ("device", "the runtime has"),
        ("while", "it is a keyword of C or C\\+\\+"),
        ("namespace", "it is a keyword"),
        ("string", "the standard library of C"),
        ("int8", "the standard library of C"),
        ("test", "the exported folder has something else of this name"),
        ("exeunt_runtime", "the exported folder has"),
        ("example", "the exported folder has"),
        ("python", "the exported folder has"),
        ("Net", "give small letters, digits and single _ between them"),
        ("a__b", "give small letters"),
        ("_net", "give small letters"),
        ("net_", "give small letters"),
        ("net\n", "give small letters"),
        ("日本", "give small letters"),
        ("", "give small letters"),
        ("a" * 49, "at most 48"),
    ],
)
def test_a_prefix_that_means_something_else_is_refused(name: str, said: str) -> None:
    with pytest.raises(ExeuntError, match=f"(?s){re.escape(repr(name))}.*{said}"):
        check_prefix(name)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("Tiny-Net 2", "tiny_net_2"),
        ("7up", "net_7up"),
        ("__x__", "x"),
        ("日本", "net"),
        ("main", "net_main"),
        ("int8", "net_int8"),
        ("exn", "net_exn"),
        ("a" * 100, "a" * 48),
    ],
)
def test_a_folder_of_any_name_gives_a_prefix(text: str, prefix: str) -> None:
    assert prefix_of(text) == prefix
    check_prefix(prefix_of(text))


@COMPILES
def test_every_file_of_the_runtime_keeps_its_name(
    chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    """No prefix that is allowed is the stem of a file that is there already."""
    folder = written(tiny(chained, 2), tmp_path / "c", ["a", "b"])
    paths = [*(path for path in folder.iterdir() if path.is_dir()), *folder.rglob("*.[ch]")]
    stems = {path.stem.lower() for path in paths} - {"net", "net_self_test", "net_module"}
    assert {"exeunt_runtime", "exn", "exn_engine", "classify", "self_test", "tests"} <= stems
    for stem in stems:
        with pytest.raises(ExeuntError, match="is no prefix"):
            check_prefix(stem)


CPP = """\
#include "net.h"
#include <cstdio>

static union { uint32_t align; uint8_t bytes[NET_ARENA_BYTES]; } arena;
static uint8_t image[NET_HEIGHT * NET_WIDTH * NET_CHANNELS];

int main()
{
    exn_state state;
    if (net_self_test(arena.bytes, sizeof arena.bytes, image) != 0) return 1;
    if (net_init(&state, arena.bytes, sizeof arena.bytes) != EXN_ROW) return 2;
    if (net_run(&state, image) != EXN_EXIT) return 3;
    const exn_result *result = net_result(&state);
    const net_score *scores = static_cast<const net_score *>(result->scores);
    std::printf("%s", net_class_names[result->class_index]);
    for (unsigned k = 0; k < NET_CLASSES; k++) std::printf(" %.9g", scores[k]);
    return 0;
}
"""


@COMPILES
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_program_in_cpp_links_and_gives_the_scores_of_python(
    chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    from exeunt.export.c.network import synthetic_image

    net = tiny(chained, 3)
    folder = written(net, tmp_path / "c", ["one", "two", "three"])
    (folder / "program.cpp").write_text(CPP)
    shape = Shape.read(folder)
    strict = ("-Wall", "-Wextra", "-Werror", "-pedantic")
    for standard in ("c++98", "c++11", "c++14", "c++17", "c++20"):
        flags = (f"-std={standard}", *strict, *shape.includes, "-fsyntax-only")
        run_tool(["g++", *flags, str(folder / "program.cpp")])
    objects = []
    for path in shape.sources():
        objects.append(path.replace(".c", ".o"))
        run_tool(["cc", *STRICT, *shape.includes, "-c", path, "-o", objects[-1]])
    program = str(tmp_path / "program")
    run_tool(["g++", *shape.includes, str(folder / "program.cpp"), *objects, "-o", program])
    name, *scores = run_tool([program]).split()
    image = Transform(SIZE).normalise_pixels(synthetic_image((3, *SIZE)))
    with torch.no_grad():
        (wanted,) = net(image[None])
    torch.testing.assert_close(torch.tensor([float(s) for s in scores]), wanted[0])
    assert name == ("one", "two", "three")[int(wanted.argmax())]
