"""ReNet, a layer of recurrent sweeps over the whole map (Visin et al. 2015)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError, one_of
from exeunt.ops.sizes import require_map, require_positive, require_unpacked

CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class ReNet2d(nn.Module):
    """Sweeps all columns, then all rows, of a grid of patches: (N, C, H, W) to (N, 2*hidden, I, J).

    The map is cut into I x J patches that do not overlap, each flattened to a vector. Two RNNs
    sweep every column of them, down and up, and two more sweep every row of the result, right and
    left. All states are put out, so every output has seen the whole map. A map that is no whole
    number of patches is surrounded by zeros, evenly, the odd line at the end.

    `columns` and `rows` are two-way recurrent modules of torch. Under autocast they run in their
    parameters' type.

    Args:
        in_channels: C.
        hidden: state size of each of the four RNNs.
        patch_size: pixels of a patch, one number or (rows, columns).
        cell: `"gru"` or `"lstm"`.

    Raises:
        ExeuntError: for sizes below 1 or an unknown cell.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        patch_size: int | tuple[int, int] = 2,
        cell: str = "gru",
    ) -> None:
        super().__init__()
        height, width = (patch_size,) * 2 if isinstance(patch_size, int) else patch_size
        require_positive("ReNet2d", in_channels=in_channels, hidden=hidden)
        require_positive("ReNet2d", patch_height=height, patch_width=width)
        if cell not in CELLS:
            raise ExeuntError(f"ReNet2d: unknown cell {cell!r}; {one_of(cell, CELLS)}")
        self.in_channels = in_channels
        self.hidden = hidden
        self.patch_size = (height, width)
        self.cell = cell
        self.out_channels = 2 * hidden
        self.columns = CELLS[cell](in_channels * height * width, hidden, bidirectional=True)
        self.rows = CELLS[cell](2 * hidden, hidden, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, 2*hidden, ceil(H / patch height), ceil(W / patch width)).

        Raises:
            ExeuntError: when x is not (N, in_channels, H, W).
        """
        require_map("ReNet2d", x, self.in_channels)
        if not torch.compiler.is_compiling():
            require_unpacked("ReNet2d", self.children())
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._sweep(x.to(next(self.parameters()).dtype))
        return self._sweep(x)

    def _sweep(self, x: Tensor) -> Tensor:
        height, width = self.patch_size
        down, across = -x.shape[2] % height, -x.shape[3] % width  # lines that are missing
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        rows, columns = x.shape[2] // height, x.shape[3] // width
        grid = x.reshape(*x.shape[:2], rows, height, columns, width)  # N C I h J w
        patches = grid.permute(2, 0, 4, 1, 3, 5).flatten(3)  # I N J Chw
        vertical = _states(self.columns, patches.flatten(1, 2))
        states = torch.unflatten(vertical, 1, patches.shape[1:3]).transpose(0, 2)  # J N I 2d
        horizontal = _states(self.rows, states.flatten(1, 2))
        out = torch.unflatten(horizontal, 1, states.shape[1:3])  # J N I 2d
        return out.permute(1, 3, 2, 0).contiguous()

    def extra_repr(self) -> str:
        return f"patch_size={self.patch_size}, cell={self.cell!r}"


def _states(rnn: nn.GRU | nn.LSTM, sequences: Tensor) -> Tensor:
    """All states of a two-way RNN over (T, M, features), from zeros: (T, M, 2*hidden).

    The function behind the module, whose own `forward` sets attributes and so cannot be exported.
    """
    weights: list[Tensor] = [weight for direction in rnn.all_weights for weight in direction]
    zeros = sequences.new_zeros(2, sequences.shape[1], rnn.hidden_size)
    options = (True, 1, 0.0, rnn.training, True, False)  # biases, layers, dropout, _, two-way, _
    if isinstance(rnn, nn.LSTM):
        return torch.lstm(sequences, (zeros, zeros), weights, *options)[0]
    return torch.gru(sequences, zeros, weights, *options)[0]
