"""What a generated header and source tell their readers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from exeunt.data import Transform
from exeunt.export.c import CModel, Float32, write_c
from exeunt.export.c.host import build_host, run_tool
from exeunt.graph import build_graph, plan_stream
from exeunt.policies import parse_policy

SIZE = (12, 10)
MAIN = """\
#include "net.h"
#include <stdio.h>
static const uint8_t *row_of_your_camera(void)
{
    static uint8_t row[NET_WIDTH * NET_CHANNELS];
    return row;
}
int main(void)
{
%s    return 0;
}
"""


@pytest.fixture
def folder(chained: Any, tmp_path: Path) -> Path:
    """Two exits, whose multiply-adds are 10 * 8 * 4 * 3 * 9 + 4 * 5 and 8 * 6 * 2 * 4 * 9 + 2 * 5
    more, and whose accuracy was measured. Their biases, all 0, are one array of 20 bytes.
    """
    torch.manual_seed(0)
    net = chained(3, [(nn.Conv2d(3, 4, 3), 4), (nn.Conv2d(4, 2, 3), 2)], [0])
    plan, names = plan_stream(build_graph(net, SIZE), 4), list("abcde")
    found = {"images": 1420, "exit_accuracy": [0.7512, 0.8], "accuracy": 0.79, "saving": 0.25}
    numbers, facts = Float32(parse_policy("confidence:0.9")), {"calibration": found}
    model = CModel("net", "A test.", numbers, plan, Transform(SIZE), names, facts)
    write_c(model, tmp_path / "c")
    return tmp_path / "c"


def test_the_header_begins_with_a_table(folder: Path) -> None:
    text = (folder / "net" / "src" / "net.h").read_text()
    lines = [line.removeprefix(" *").split() for line in text.splitlines()]
    assert lines[0] == ["/*", "A", "test."]
    assert lines[7][:6] == ["1", "8,660", "548", "B", "75.1", "%"]
    assert lines[8][:6] == ["2", "12,126", "884", "B", "80.0", "%"]
    assert lines[7][6:] == ["Conv,", "GlobalAverage,", "Linear"]
    assert "1,420 calibration images; with the policy 79.0 %, saving 25.0 %" in text
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_its_eight_lines_are_a_program(folder: Path, tmp_path: Path) -> None:
    text = (folder / "net" / "src" / "net.h").read_text()
    (block,) = re.findall(r"How to use it:\n \*\n((?: \*     .*\n)+)", text)
    lines = [line.removeprefix(" * ") for line in block.splitlines(keepends=True)]
    assert len(lines) == 8
    (tmp_path / "main.c").write_text(MAIN % "".join(lines))
    build_host(folder, tmp_path / "program", main=tmp_path / "main.c")
    assert run_tool([str(tmp_path / "program")]) in [f"{name}\n" for name in "abcde"]


def test_the_source_names_operators_as_python_does(folder: Path) -> None:
    text = (folder / "net" / "src" / "net.c").read_text()
    notes = re.findall(r"^/\* (.*) \*/\nstatic const", text, re.MULTILINE)
    (nodes,) = re.findall(r"net_nodes\[6\] = \{\n(.*?)\n\};", text, re.DOTALL)
    told = [line.strip(" /*") for line in nodes.splitlines()[::2]]
    assert [note.split(",")[0].split(": ") for note in told] == [
        ["0", "stages.0.trunk.block0"],
        ["1", "stages.0.exit"],
        ["2", "stages.0.exit.classifier"],
        ["3", "stages.1.trunk.block1"],
        ["4", "stages.1.exit"],
        ["5", "stages.1.exit.classifier"],
    ]
    assert told[0].endswith(", Conv, 3x12x10 to 4x10x8, 8,640 multiply-adds")
    assert notes == [told[k] for k in (0, 2, 3, 5)]  # an average has no constants
