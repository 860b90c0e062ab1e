"""ReX by the kernels in C: the processor's way through `ReX2d` where no gradient is wanted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exeunt.native import Native, native
from exeunt.native.axis import Axis
from exeunt.native.rex import KINDS, Cell, Layer, run_rex
from exeunt.native.stem import CELL
from exeunt.ops.recurrence import FastGRNN, MinGRU
from exeunt.ops.watched import takes_kernels


def kernels_for(x: Tensor) -> Native | None:
    """The kernels, if they may take x and no gradient is wanted."""
    return native() if not torch.is_grad_enabled() and takes_kernels(x) else None


def run_native(
    kernels: Native,
    x: Tensor,
    axes: tuple[Axis, Axis],
    rnn1: nn.Module,
    rnn2: nn.Module | None,
    linear: nn.Linear | None,
    kind: str,
    branches: tuple[bool, bool],
) -> Tensor | None:
    """The output of a ReX layer, (N, out_channels, H', W'); None if the kernels lack its cell, or
    its weights are not float32.

    Args:
        kernels: to use.
        x: (N, C, H, W), float32 on the processor.
        axes: the patches along the rows and along the columns.
        rnn1: the first recurrent module.
        rnn2: the second; a one-way module lends its weights to both ways.
        linear: the map of all summaries, if there is V^G.
        kind: of cell.
        branches: whether there are V^R and V^C.
    """
    if kind not in KINDS:
        return None
    held: list[Tensor] = []  # whose addresses are given away

    def address(weights: Tensor) -> int:
        held.append(weights.detach().contiguous())
        return held[-1].data_ptr()

    def cell(module: nn.Module, way: str = "") -> Cell:
        weights = {name: getattr(module, f"{name}_l0{way}") for name in _names(module)}
        if isinstance(module, FastGRNN):
            weights["bias_hh"] = torch.sigmoid(weights.pop("mix"))  # of zeta and nu
        places = {name: address(one) for name, one in weights.items()}
        return Cell(*(places.get(name) for name in CELL))

    reverse = "_reverse" if getattr(rnn2, "bidirectional", False) else ""
    layer = Layer(cell(rnn1))
    layer.channels, layer.hidden1 = x.shape[1], rnn1.hidden_size
    layer.down, layer.across = axes
    layer.kind = KINDS.index(kind)
    layer.use_rows, layer.use_columns = branches
    if rnn2 is not None:
        layer.second = (Cell * 2)(cell(rnn2), cell(rnn2, reverse))
        layer.hidden2 = rnn2.hidden_size
    if linear is not None:
        layer.linear_weights, layer.linear_biases = address(linear.weight), address(linear.bias)
        layer.use_global, layer.hidden2 = True, linear.out_features // 4
    if any(weights.dtype != torch.float32 or weights.device != x.device for weights in held):
        return None
    channels = layer.hidden2 * (2 * sum(branches) + 4 * layer.use_global)
    height, width = (axis.patches + axis.repeat for axis in axes)
    out = x.new_empty(len(x), channels, height, width)
    threads = torch.get_num_threads()
    run_rex(kernels, layer, len(x), x.data_ptr(), x.stride(), out.data_ptr(), threads)
    return out


def _names(module: nn.Module) -> tuple[str, ...]:
    if isinstance(module, MinGRU):
        return "weight_ih", "bias_ih"
    last = "mix" if isinstance(module, FastGRNN) else "bias_hh"
    return "weight_ih", "weight_hh", "bias_ih", last
