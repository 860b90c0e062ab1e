"""ReX, the recurrent aggregation operator (Qian, Hang, Liu: AAAI 2022, equations 1-8).

A patch of `h x w` pixels becomes a vector: a first RNN runs along every row and every column and
keeps its last state, a second RNN runs both ways over the row summaries and over the column
summaries, and a linear map of all summaries adds a coarse global view.

Patches overlap, and patch by patch most of that work repeats. Three things are shared here; the
numbers are the same, the operations fewer:

* the first RNN's input projection of a pixel depends on the pixel alone: once per pixel;
* its sweep along a row depends on (row, starting column) alone: once for all patches above each
  other, and likewise for columns;
* the second RNN's input projection of a summary is shared by the patches that read it.

The input is never unfolded. Maps are held features first and images last, `(features, H, W, N)`:
every read is then a strided block with a contiguous end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError, one_of
from exeunt.native.axis import Axis
from exeunt.ops.native_rex import kernels_for, run_native
from exeunt.ops.recurrence import CELLS, CellWeights, linear
from exeunt.ops.sizes import require_map, require_positive, require_unpacked
from exeunt.ops.sweep import Reads, gather, sweep

Padding = Literal["same", "replicate_out"] | int | tuple[int, int]

_ROWS, _COLUMNS = 1, 2  # the axes of a (features, H, W, N) map


class ReXMacs(NamedTuple):
    """Multiply-adds of one image: with the sharing that is done here, and patch by patch."""

    shared: int
    per_patch: int


@dataclass(frozen=True)
class Window:
    """One axis of the sliding patch, over the lines (rows or columns) that some patch reads.

    Attributes:
        size: lines of a patch.
        stride: distance between neighbouring patches.
        hop: the same once unread lines are dropped.
        before: zero lines that the padding has before the input, read or not.
        out: number of patches.
        kept: the input lines that are read, in order.
        lead: zero lines before them.
        trail: zero lines after them.
        repeat: patches to add at the end by repeating the last (`"replicate_out"`).
    """

    size: int
    stride: int
    hop: int
    before: int
    out: int
    kept: range | tuple[int, ...]
    lead: int
    trail: int
    repeat: int

    @property
    def lines(self) -> int:
        """Lines that are read, padding included."""
        return self.lead + len(self.kept) + self.trail

    @classmethod
    def over(
        cls, length: int, size: int, stride: int, padding: Literal["same", "replicate_out"] | int
    ) -> Window:
        """Lays patches of `size` lines every `stride` lines over `length` input lines."""
        repeat = 0
        if padding == "same":
            out = -(-length // stride)
            before = max((out - 1) * stride + size - length, 0) // 2
        else:
            before = 0 if padding == "replicate_out" else padding
            out = (length + 2 * before - size) // stride + 1
            if padding == "replicate_out":
                repeat = -(-length // stride) - out
        if out < 1:
            raise ExeuntError(
                f"ReX2d: an input of {length} lines with padding {padding!r} holds no patch of "
                f'{size}; use padding="same" or a patch of at most {length + 2 * before}'
            )
        end = (out - 1) * stride + size - before
        kept: range | tuple[int, ...] = range(min(end, length))
        lead, trail = before, max(end - length, 0)
        if stride > size:  # lines between the patches are never read
            lines = [o * stride + t - before for o in range(out) for t in range(size)]
            lead, trail = sum(line < 0 for line in lines), sum(line >= length for line in lines)
            some = tuple(lines[lead : len(lines) - trail])
            kept = range(len(some)) if some == tuple(range(len(some))) else some
        return cls(
            size=size,
            stride=stride,
            hop=min(size, stride),
            before=before,
            out=out,
            kept=kept,
            lead=lead,
            trail=trail,
            repeat=repeat,
        )

    def axis(self, length: int) -> Axis:
        """The same over `length` input lines, for the kernels in C."""
        return Axis(length, self.before, self.size, self.stride, self.out, self.repeat)

    def keep(self, maps: Tensor, axis: int) -> Tensor:
        """Drops the lines of `axis` that no patch reads."""
        if not isinstance(self.kept, range):
            return maps.index_select(axis, torch.tensor(self.kept, device=maps.device))
        return maps if len(self.kept) == maps.shape[axis] else maps.narrow(axis, 0, len(self.kept))

    def read(self, axis: int, t: int, features: slice = slice(None)) -> tuple[slice, ...]:
        """Index of the t-th line of every patch along `axis`: `out` lines."""
        stop = t + (self.out - 1) * self.hop + 1
        return (features, *(slice(None),) * (axis - 1), slice(t, stop, self.hop))


def _pair(value: int | Sequence[int], name: str, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(v, int) or v < least for v in pair):
        raise ExeuntError(
            f"ReX2d: {name}={value!r}; give an integer or a pair (rows, columns), at least {least}"
        )
    return pair[0], pair[1]


class ReX2d(nn.Module):
    """Summarises every patch of a map with two RNNs: (N, C, H, W) to (N, 8*hidden2, H', W').

    The output channels are `[V^R | V^G | V^C]`: the second RNN over row summaries (2*hidden2:
    forward, backward), the linear map of all summaries (4*hidden2), the second RNN over column
    summaries (2*hidden2). Zero initial states, no activation after the linear map.

    Parameters, all with PyTorch's own initialisation (`FastGRNN` has its own):

    * `rnn1.*_l0`: the first RNN (in_channels to hidden1), one way, shared by rows and columns;
    * `rnn2.*_l0`, `rnn2.*_l0_reverse`: the second (hidden1 to hidden2), both ways;
    * `linear.weight`, `linear.bias`: ((rows + columns) * hidden1 to 4*hidden2), summaries in the
      order rows top to bottom, then columns left to right.

    On a processor, in float32 and without gradients, kernels in C do the work where they were
    compiled (`exeunt.native`): the same results to 1e-5.

    Under autocast the operator runs in its parameters' type: a recurrence amplifies rounding.
    `torch.compile` breaks its graph here unless `torch._dynamo.config.allow_rnn` is set, because
    the weights live in modules such as `nn.GRU`.

    Args:
        in_channels: C.
        hidden1: state size of the first RNN.
        hidden2: state size of the second RNN.
        patch_size: pixels of a patch, one number or (rows, columns).
        stride: distance of neighbouring patches, one number or (rows, columns).
        padding: `"same"` surrounds the map with zeros so that H' = ceil(H / stride);
            `"replicate_out"` pads nothing and repeats the last output row and column up to that
            size, as EdgeML's RNNPool does; integers pad that many zeros on both sides.
        cell: `"gru"`, `"lstm"`, `"rnn"`, `"fastgrnn"` or `"mingru"`.
        shared_directions: one set of weights for both ways of the second RNN, as in RNNPool.
        use_rows, use_global, use_cols: leave out V^R, V^G or V^C (the paper's ablation, Table 4).

    Raises:
        ExeuntError: for sizes below 1, an unknown cell or padding, or nothing left to output.
    """

    def __init__(
        self,
        in_channels: int,
        hidden1: int,
        hidden2: int,
        patch_size: int | tuple[int, int],
        stride: int | tuple[int, int],
        padding: Padding = "same",
        cell: str = "gru",
        *,
        shared_directions: bool = False,
        use_rows: bool = True,
        use_global: bool = True,
        use_cols: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        require_positive(name, in_channels=in_channels, hidden1=hidden1, hidden2=hidden2)
        if cell not in CELLS:
            raise ExeuntError(f"ReX2d: unknown cell {cell!r}; {one_of(cell, CELLS)}")
        if not (use_rows or use_global or use_cols):
            raise ExeuntError(
                "ReX2d: use_rows, use_global and use_cols are all off; keep at least one"
            )
        self.in_channels = in_channels
        self.hidden1 = hidden1
        self.hidden2 = hidden2
        self.patch_size = _pair(patch_size, "patch_size", 1)
        self.stride = _pair(stride, "stride", 1)
        self.padding = self._padding(padding)
        self.cell = cell
        self.shared_directions = shared_directions
        self.use_rows = use_rows
        self.use_global = use_global
        self.use_cols = use_cols
        self.out_channels = hidden2 * (2 * use_rows + 4 * use_global + 2 * use_cols)
        make = CELLS[cell].module
        self.rnn1 = make(in_channels, hidden1)
        if use_rows or use_cols:
            self.rnn2 = make(hidden1, hidden2, bidirectional=not shared_directions)
        if use_global:
            self.linear = nn.Linear(sum(self.patch_size) * hidden1, 4 * hidden2)

    @staticmethod
    def _padding(padding: Padding) -> Padding:
        if isinstance(padding, str):
            if padding not in ("same", "replicate_out"):
                raise ExeuntError(
                    f"ReX2d: unknown padding {padding!r}; "
                    '"same", "replicate_out", an integer or a pair'
                )
            return padding
        return _pair(padding, "padding", 0)

    def window(self, axis: Literal[0, 1], length: int) -> Window:
        """The patches along the rows (axis 0) or the columns (1) of a map with `length` of them."""
        padding = self.padding if isinstance(self.padding, str | int) else self.padding[axis]
        return Window.over(length, self.patch_size[axis], self.stride[axis], padding)

    def windows(self, height: int, width: int) -> tuple[Window, Window]:
        """The patches along the rows and along the columns of a map of this size."""
        return self.window(0, height), self.window(1, width)

    def macs(self, height: int, width: int) -> ReXMacs:
        """Multiply-adds for one map of `height x width`: real pixels, every step of every sweep."""
        rows, columns = self.windows(height, width)
        cell = CELLS[self.cell]
        hidden1, hidden2 = self.hidden1, self.hidden2
        into1, across1 = cell.gates * self.in_channels * hidden1, cell.step_macs(hidden1)
        into2, across2 = (
            2 * cell.gates * hidden1 * hidden2,
            2 * cell.step_macs(hidden2),
        )  # both ways
        patches = rows.out * columns.out
        total = self.use_global * patches * (rows.size + columns.size) * hidden1 * 4 * hidden2

        shared = len(rows.kept) * len(columns.kept) * into1 + total
        per_patch = total
        for axis, other, branch in (
            (columns, rows, self.use_rows),  # row summaries: sweeps along the columns
            (rows, columns, self.use_cols),
        ):
            if branch or self.use_global:
                sweeps = other.lines * axis.out
                shared += sweeps * axis.size * across1
                per_patch += patches * rows.size * columns.size * (into1 + across1)
            if branch:
                shared += sweeps * into2 + patches * other.size * across2
                per_patch += patches * other.size * (into2 + across2)
        return ReXMacs(shared, per_patch)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, out_channels, H', W').

        Raises:
            ExeuntError: when x is not (N, in_channels, H, W), or is smaller than a patch where
                the padding does not make up for it.
        """
        require_map(type(self).__name__, x, self.in_channels)
        if not torch.compiler.is_compiling():
            require_unpacked(type(self).__name__, self.children())
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._aggregate(x.to(next(self.parameters()).dtype))
        return self._aggregate(x)

    def _aggregate(self, x: Tensor) -> Tensor:
        rows, columns = self.windows(x.shape[2], x.shape[3])
        kernels = kernels_for(x)
        if kernels is not None:
            out = run_native(
                kernels,
                x,
                (rows.axis(x.shape[2]), columns.axis(x.shape[3])),
                *(self.rnn1, getattr(self, "rnn2", None), getattr(self, "linear", None)),
                self.cell,
                (self.use_rows, self.use_cols),
            )
            if out is not None:
                return out
        out = self.summarise(*self._line_ends(x, rows, columns), rows, columns)
        if rows.repeat or columns.repeat:
            out = F.pad(out, (0, columns.repeat, 0, rows.repeat), mode="replicate")
        return out

    def summarise(
        self, row_ends: Tensor, column_ends: Tensor, rows: Window, columns: Window
    ) -> Tensor:
        """What becomes of the lines' summaries: (N, out_channels, H', W').

        Args:
            row_ends: last states of the first RNN from every start of every row, (hidden1, H, W',
                N), padding included.
            column_ends: and of every column, (hidden1, H', W, N).
            rows: the patches along the rows.
            columns: the patches along the columns.
        """
        parts = []
        if self.use_rows:
            parts.append(self._both_ways(row_ends, _ROWS, rows))
        if self.use_global:
            summaries = [
                gather(ends, [window.read(axis, t) for t in range(window.size)])
                for ends, axis, window in (
                    (row_ends, _ROWS, rows),
                    (column_ends, _COLUMNS, columns),
                )
            ]
            parts.append(linear(torch.cat(summaries), self.linear.weight, self.linear.bias))
        if self.use_cols:
            parts.append(self._both_ways(column_ends, _COLUMNS, columns))
        return torch.cat(parts).permute(3, 0, 1, 2).contiguous()

    def _line_ends(self, x: Tensor, rows: Window, columns: Window) -> tuple[Tensor, Tensor]:
        """Last states of the first RNN, from every start along every row and every column.

        (N, C, H, W) to (hidden1, H, W', N) and (hidden1, H', W, N), padding included. Where one
        alone is needed, it stands for both.
        """
        weights = CellWeights.of(self.rnn1, directions=1)
        maps = columns.keep(rows.keep(x.permute(1, 2, 3, 0), _ROWS), _COLUMNS)
        maps = F.pad(maps, (0, 0, columns.lead, columns.trail, rows.lead, rows.trail))
        cell = CELLS[self.cell]
        maps = cell.project(maps, weights)
        runs: list[Reads] = []
        if self.use_rows or self.use_global:
            runs.append([[columns.read(_COLUMNS, t)] for t in range(columns.size)])
        if self.use_cols or self.use_global:
            runs.append([[rows.read(_ROWS, t)] for t in range(rows.size)])
        ends = sweep(maps, runs, cell, weights.weight_hh, weights.bias)
        return ends[0], ends[-1]

    def _both_ways(self, ends: Tensor, axis: int, window: Window) -> Tensor:
        """Last states of the second RNN over each patch's summaries: (2*hidden2, H', W', N)."""
        weights = CellWeights.of(self.rnn2, directions=2)
        cell = CELLS[self.cell]
        projected = cell.project(ends, weights)
        half, last = projected.shape[0] // 2, window.size - 1
        forward, backward = slice(half), slice(half, None)
        reads = [
            [window.read(axis, t, forward), window.read(axis, last - t, backward)]
            for t in range(window.size)
        ]
        return sweep(projected, [reads], cell, weights.weight_hh, weights.bias)[0]
