"""RNNPool, from which ReX descends (Saha et al. 2020)."""

from __future__ import annotations

from exeunt.ops.rex import Padding, ReX2d


class RNNPool2d(ReX2d):
    """Summarises every patch with two FastGRNNs: (N, C, H, W) to (N, 4*hidden2, H', W').

    The first runs along every row and every column of the patch, the second over the row summaries
    and over the column summaries, forward and backward with the same weights. The output channels
    are `[rows forward, rows backward, columns forward, columns backward]`, hidden2 each. This is
    `ReX2d` with other cells, one set of weights for both ways, and no V^G; the sharing of sweeps is
    the same.

    Args:
        in_channels: C.
        hidden1: state size of the first RNN.
        hidden2: state size of the second RNN.
        patch_size: pixels of a patch, one number or (rows, columns).
        stride: distance of neighbouring patches, one number or (rows, columns).
        padding: as for `ReX2d`; EdgeML's own layer is `"replicate_out"`.

    Raises:
        ExeuntError: for sizes below 1 or an unknown padding.
    """

    def __init__(
        self,
        in_channels: int,
        hidden1: int,
        hidden2: int,
        patch_size: int | tuple[int, int],
        stride: int | tuple[int, int],
        padding: Padding = "same",
    ) -> None:
        super().__init__(
            in_channels,
            hidden1,
            hidden2,
            patch_size,
            stride,
            padding,
            cell="fastgrnn",
            shared_directions=True,
            use_global=False,
        )
