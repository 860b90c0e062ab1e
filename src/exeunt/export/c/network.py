"""The network's own files: its header, its constants and tables, its test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

import exeunt
from exeunt.data import Sensor, Transform
from exeunt.errors import ExeuntError
from exeunt.export.c.model import written
from exeunt.export.c.numbers import Numbers
from exeunt.export.c.report import FORMAT
from exeunt.export.c.source import CSource
from exeunt.export.c.spelling import comment, string
from exeunt.export.c.templates import render
from exeunt.graph.streamed import StreamedPlan
from exeunt.text import aligned, figure, percent

_WIDTH = 95
"""Of a line of a comment."""
_CAMERAS = ((320, 240), (160, 120), (640, 480), (1280, 960))


@dataclass(frozen=True)
class NetworkText:
    """What the files say.

    Attributes:
        prefix: of all names in C.
        title: one line for the header.
        numbers: the net and its policy, in one type of number.
        plan: of the net, for that type.
        transform: from a photograph to the net's input.
        class_names: K of them.
        exit_constants_bytes: of the constants that are used before each exit.
        calibration: what the net does on calibration images, as `report.json` has it; or empty.
        policy: when it leaves, in words; empty where nobody says.
    """

    prefix: str
    title: str
    numbers: Numbers
    plan: StreamedPlan
    transform: Transform
    class_names: Sequence[str]
    exit_constants_bytes: Sequence[int]
    calibration: dict[str, Any]
    policy: str = ""

    @property
    def regression(self) -> bool:
        """Whether exits give one value, and no classes."""
        graph = self.plan.graph
        return graph.shapes[graph.stages[0].logits] == (1,)

    @property
    def names(self) -> dict[str, Any]:
        """What templates name."""
        graph = self.plan.graph
        channels, height, width = graph.shapes[graph.image]
        number = re.match(r"\d+(\.\d+)*", exeunt.__version__)
        return {
            "prefix": self.prefix,
            "PREFIX": self.prefix.upper(),
            "version": exeunt.__version__,
            "version_number": number[0] if number else "0",
            "dtype": self.numbers.dtype,
            "arena_bytes": self.plan.arena_bytes,
            "height": height,
            "width": width,
            "channels": channels,
            "classes": 1 if self.regression else len(self.class_names),
            "regression": self.regression,
            "exits": len(graph.stages),
            "camera": _camera_for(height, width),
        }

    def header(self, constants_bytes: int) -> str:
        """`net.h`, of a network with so many bytes of constants."""
        return render(
            "network/network.h",
            **self.names,
            title=comment(self.title),
            runtime=FORMAT,
            table=self._table(),
            window_bytes=self.plan.window_bytes,
            constants_bytes=constants_bytes,
            calibration=self.calibration,
            policy=wrap(comment(self.policy), _WIDTH),
            score_type=self.numbers.score_type,
            score_format=self.numbers.score_format,
            score_shown_as=self.numbers.score_shown_as,
        )

    def constants(self, source: CSource, own: Iterable[str] = ()) -> str:
        """`net.c`, of definitions to which this adds those of policy and input; `own` are files
        of kernels that are not the runtime's, whose headers are included.
        """
        graph, numbers = self.plan.graph, self.numbers
        policy = source.struct("exn_policy", "policy", numbers.policy(len(graph.stages), source))
        return render(
            "network/network.c",
            **self.names,
            input=numbers.input(self.transform, graph, source),
            headers=[numbers.header, *(file for file in own if file.endswith(".h"))],
            source=source,
            policy=policy,
            read_row=numbers.read_row,
            judge=numbers.judge,
            class_names=[string(name) for name in self.class_names] or ['"value"'],
            score_scales=[f"{scale:.9e}f" for scale in numbers.score_scales(graph)],
        )

    def self_test(self) -> str:
        """`net_self_test.c`."""
        graph = self.plan.graph
        image = self.transform.normalise_pixels(synthetic_image(graph.shapes[graph.image]))
        expected = self.numbers.expected(graph, image[None])
        return render(
            "network/self_test.c",
            **self.names,
            scores=expected.scores,
            tolerance=expected.tolerance,
        )

    def _table(self) -> list[str]:
        """A line for each exit: what is done before it, and what that costs and is worth."""
        graph, found = self.plan.graph, self.calibration
        worth = found.get("exit_mae" if self.regression else "exit_accuracy")
        stages = {node.output: k for k, s in enumerate(graph.stages) for node in s.nodes}
        told = "mean error" if self.regression else "accuracy"
        rows = [["exit", "multiply-adds", "constants", told, "operators since the exit before"]]
        for k, macs in enumerate(graph.exit_macs):
            mine = [node for node in written(self.plan) if stages[node.output] == k]
            kinds = Counter(node.operator.kind for node in mine)
            made = (f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())
            shown = figure if self.regression else percent
            cost = f"{macs:,}", f"{self.exit_constants_bytes[k]:,} B"
            told = shown(worth[k]) if worth else "unknown"
            rows.append([str(k + 1), *cost, told, ", ".join(made)])
        return [_cut(line) for line in aligned(rows, "rrrrl")]


def _camera_for(height: int, width: int) -> tuple[int, int]:
    """Width and height of frames that fit an image: the usual ones of a camera, or its own."""
    for camera in _CAMERAS:
        try:
            Sensor("rgb565", camera[::-1]).check((height, width))
        except ExeuntError:
            continue
        return camera
    return width, height


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 4] + " ..."


def synthetic_image(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The image (H, W, C) that the self-test makes, for an input of shape (C, H, W)."""
    channels, height, width = shape
    random, found = 1, bytearray()
    for _ in range(channels * height * width):
        random = (random * 1664525 + 1013904223) % 2**32
        found.append(random >> 24)
    return np.frombuffer(found, np.uint8).reshape(height, width, channels)
