"""A streamed plan, carried out: rows live in one arena, where the plan says, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.graph.arena import Arena
from exeunt.graph.fuse import InvertedResidual, PreactivatedConv, part_constants
from exeunt.graph.graph import Node
from exeunt.graph.operators import (
    Composite,
    Conv,
    GlobalAverage,
    GridPool,
    Lines,
    Pad,
    Pool,
    Resize,
    Slice,
    is_taken_in,
)
from exeunt.graph.rows import rows_needed
from exeunt.graph.running_rex import RunningReX
from exeunt.graph.streamed import StreamedPlan
from exeunt.ops.rex import ReX2d

_ROWS = 1


@torch.no_grad()
def run_stream(plan: StreamedPlan, image: Tensor) -> list[Tensor]:
    """Logits of every exit, E tensors (K,), of one image (C, H, W), row by row.

    Rows are written into an arena of the plan's size, float32, that is full of NaN at first; a row
    that was overwritten too early, or never made, would show in the result. What operators keep
    between rows, or need while they make one, is fenced: its place in the arena must stay
    untouched.

    Args:
        plan: for float32.
        image: of the size that was planned for.

    Raises:
        ExeuntError: when an operator keeps more than was planned, or its place is written to.
    """
    run = _Run(plan)
    outputs = []
    logits = dict(zip(plan.schedule.ends, plan.graph.stages, strict=True))
    for position, event in enumerate(plan.schedule.events):
        run.arena.begin(position)
        if event.node is None:
            run.arena.write(plan.graph.image, event.row, image[:, event.row])
        elif event.takes:
            run.take(event.node, event.row)
        else:
            run.make(event.node, event.row)
        run.arena.end(position)
        if position in logits:
            outputs.append(run.arena.tensor(logits[position].logits))
    return outputs


class _Run:
    def __init__(self, plan: StreamedPlan) -> None:
        self.arena = Arena(plan)
        self.shapes = plan.graph.shapes
        self.kept: dict[str, Any] = {}

    def take(self, node: Node, row: int) -> None:
        """Lets an operator that accumulates take in one row."""
        (source,) = node.inputs
        values, operator = self.arena.read(source, row), node.operator
        if isinstance(operator, Composite) and is_taken_in(operator.module):
            self.kept.setdefault(node.output, []).append(values)
        elif isinstance(operator, Composite):
            self._rex(node).take(values)
        elif isinstance(operator, GlobalAverage):
            self.kept[node.output] = self.kept.get(node.output, 0) + values.sum(1)
        else:
            assert isinstance(operator, GridPool)
            self._take_cells(node, operator, row, values)

    def _rex(self, node: Node) -> RunningReX:
        """What has been taken in so far: nothing at first, and never anything but padding where a
        row of patches lies above the map.
        """
        if node.output not in self.kept:
            assert isinstance(node.operator, Composite)
            assert isinstance(node.operator.module, ReX2d)
            _, height, width = self.shapes[node.inputs[0]]
            self.kept[node.output] = RunningReX(node.operator.module, height, width)
        kept = self.kept[node.output]
        assert isinstance(kept, RunningReX)
        return kept

    def _take_cells(self, node: Node, operator: GridPool, row: int, values: Tensor) -> None:
        """Adds a row to every row of cells that it lies in; cells may overlap by a row."""
        height, width = self.shapes[node.inputs[0]][1:]
        down, across = operator.grid
        spans = [range(c * width // across, -(-(c + 1) * width // across)) for c in range(across)]
        parts = [values[:, span.start : span.stop] for span in spans]
        if operator.of == "max":
            mine = torch.stack([part.amax(1) for part in parts], 1)
        else:
            mine = torch.stack(
                [part.sum(1) / len(s) for part, s in zip(parts, spans, strict=True)], 1
            )
        cells = self.kept.setdefault(node.output, {})
        for cell in range(down):
            rows = range(cell * height // down, -(-(cell + 1) * height // down))
            if row in rows:
                if operator.of == "max":
                    cells[cell] = torch.maximum(cells[cell], mine) if cell in cells else mine
                else:
                    cells[cell] = cells.get(cell, 0) + mine / len(rows)

    def make(self, node: Node, row: int) -> None:
        """Lets an operator make one row."""
        operator = node.operator
        if operator.accumulates:
            values = self._accumulated(node, row)
        elif isinstance(operator, InvertedResidual):
            values = self._residual(node, operator, row)
        else:
            values = self._row(node, row)
        self.arena.write(node.output, row, values)

    def _accumulated(self, node: Node, row: int) -> Tensor:
        if isinstance(node.operator, Composite) and is_taken_in(node.operator.module):
            maps = torch.stack(self.kept[node.output], _ROWS)  # the last row may change the first
            return node.operator.run([maps[None]], node.constants)[0, :, row]
        if isinstance(node.operator, Composite):
            made = self._rex(node).row(row)
            return node.operator.finish(made[None], node.constants)[0]
        kept: Any = self.kept[node.output]
        if isinstance(node.operator, GridPool):
            values: Tensor = kept.pop(row)
        else:
            values = kept / math.prod(self.shapes[node.inputs[0]][1:])
            if len(self.shapes[node.output]) == 3:
                values = values[:, None]
        return values

    def _row(self, node: Node, row: int) -> Tensor:
        """One row of an operator that keeps nothing."""
        operator, shapes = node.operator, self.shapes
        given, taken = shapes[node.output], shapes[node.inputs[0]]
        whole = len(given) != 3 or len(taken) != 3
        if whole or isinstance(operator, Composite):
            inputs = [self.arena.tensor(name)[None] for name in node.inputs]
            out = operator.run(inputs, node.constants)[0]
            return out if len(given) != 3 else out[:, row]
        if isinstance(operator, Conv):
            return self._conv(node.inputs[0], operator, node.constants, row)
        if isinstance(operator, PreactivatedConv):
            return self._preactivated(node.inputs[0], operator, node.constants, row)
        if isinstance(operator, Pool):
            return self._pool(node.inputs[0], operator, row)
        if isinstance(operator, Resize):
            return self._resized(node.inputs[0], operator, row)
        if isinstance(operator, Slice) and operator.axis == _ROWS:
            return self.arena.read(node.inputs[0], operator.start + row * operator.step)
        if isinstance(operator, Pad):
            line = self.arena.rows(node.inputs[0], [row - operator.before[_ROWS]])
            before = (operator.before[0], 0, operator.before[2])
            after = (operator.after[0], 0, operator.after[2])
            return Pad(before, after).run([line[None]], {})[0]
        if isinstance(operator, Lines):
            line = self.arena.rows(node.inputs[0], operator.rows(taken[_ROWS], given[_ROWS], row))
            return Lines((0,), operator.across).run([line[None]], {})[0]
        heights = [shapes[name][_ROWS] for name in node.inputs]
        under = [operator.rows(height, given[_ROWS], row) for height in heights]
        rows = [
            self.arena.rows(name, wanted)[None]
            for name, wanted in zip(node.inputs, under, strict=True)
        ]
        out = operator.run(rows, node.constants)[0]
        return out[:, [row]] if out.shape[1] == given[_ROWS] > 1 else out

    def _conv(self, source: str, conv: Conv, constants: Any, row: int) -> Tensor:
        return _filtered(conv, self.arena.rows(source, _under(conv, row)), constants)

    def _preactivated(
        self, source: str, operator: PreactivatedConv, constants: Any, row: int
    ) -> Tensor:
        rows, height = _under(operator.conv, row), self.shapes[source][_ROWS]
        slab = self.arena.rows(source, rows)
        slab = operator.affine.run([slab[None]], part_constants(constants, "affine"))[0]
        slab[:, [not 0 <= needed < height for needed in rows]] = 0
        return _filtered(operator.conv, slab, part_constants(constants, "conv"))

    def _pool(self, source: str, pool: Pool, row: int) -> Tensor:
        start, height = row * pool.stride[0] - pool.padding[0], self.shapes[source][1]
        if pool.of == "max":
            rows: Sequence[int] = range(start, start + pool.kernel[0])
            slab, padding = self.arena.rows(source, rows, -math.inf), (0, pool.padding[1])
            return F.max_pool2d(
                slab[None], pool.kernel, (1, pool.stride[1]), padding, ceil_mode=pool.ceil
            )[0]
        end = min(start + pool.kernel[0], height + pool.padding[0])
        counted = (
            range(start, end) if pool.count_padding else range(max(start, 0), min(end, height))
        )
        slab = self.arena.rows(source, counted)[None]
        kernel = (len(counted), pool.kernel[1])
        padding = (0, pool.padding[1])
        return F.avg_pool2d(
            slab, kernel, (1, pool.stride[1]), padding, pool.ceil, pool.count_padding
        )[0]

    def _resized(self, source: str, resize: Resize, row: int) -> Tensor:
        shape = self.shapes[source]
        needed = rows_needed(resize, shape, (shape[0], *resize.size), row)
        at = resize.position(shape[_ROWS], row)
        slab = self.arena.rows(source, needed)
        line = slab[:, :1] if len(needed) == 1 else torch.lerp(slab[:, :1], slab[:, 1:], at % 1)
        size = (1, resize.size[1])
        return F.interpolate(
            line[None], size=size, mode="bilinear", align_corners=resize.align_corners
        )[0]

    def _residual(self, node: Node, operator: InvertedResidual, row: int) -> Tensor:
        """Expands the rows that come into the window, filters, projects, and keeps what the next
        window reads.
        """
        (source,) = node.inputs
        constants = {
            part: part_constants(node.constants, part)
            for part in ("expand", "depthwise", "project")
        }
        filtered = operator.depthwise
        window = range(*operator.window(row))
        height, width = self.shapes[source][1:]
        if operator.expand is None:
            slab = self.arena.rows(source, window)
        else:
            kept: dict[int, Tensor] = (
                {} if operator.recompute else self.kept.setdefault(node.output, {})
            )
            for needed in window:
                if 0 <= needed < height and needed not in kept:
                    line = self.arena.rows(source, [needed])
                    kept[needed] = _filtered(operator.expand, line, constants["expand"])[:, 0]
            zeros = torch.zeros(filtered.groups, width)
            slab = torch.stack([kept.get(needed, zeros) for needed in window], 1)
            for old in [old for old in kept if old < window.start + filtered.stride[0]]:
                del kept[old]
            if not operator.recompute and len(kept) > filtered.kernel[0] - filtered.stride[0]:
                raise ExeuntError(f"{node.output} keeps {len(kept)} expanded rows")
        values = _filtered(filtered, slab, constants["depthwise"])
        values = _filtered(operator.project, values, constants["project"])
        if not operator.residual:
            return values
        added = self.arena.rows(source, [row])[..., operator.beside :]
        return values + added[..., : values.shape[2]]


def _under(conv: Conv, row: int) -> list[int]:
    """The rows under the kernel, those of the padding too."""
    start = row * conv.stride[0] - conv.padding[0]
    return [start + k * conv.dilation[0] for k in range(conv.kernel[0])]


def _filtered(conv: Conv, slab: Tensor, constants: Any) -> Tensor:
    """One row of a convolution, from just the rows under its kernel: (C', 1, W')."""
    stride, padding, dilation = (1, conv.stride[1]), (0, conv.padding[1]), (1, conv.dilation[1])
    trail = None if conv.trail is None else (0, conv.trail[1])
    one = Conv(conv.kernel, stride, padding, dilation, conv.groups, trail, act=conv.act)
    return one.run([slab[None]], constants)[0]
