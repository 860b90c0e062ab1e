"""Rows of integer weights, and what leads from their sums to an output."""

from __future__ import annotations

import torch
from torch import Tensor

from exeunt.graph.graph import Node
from exeunt.quantize.scale import Factor
from exeunt.quantize.scales import weight_step


def integer_rows(
    rows: Tensor,
    bias: Tensor | None,
    steps: tuple[float, float],
    zero: int,
    most: int,
    node: Node,
) -> tuple[Tensor, Tensor, Factor]:
    """Integer weights, what is added to their sums, and factors from these to the output.

    Args:
        rows: of a matrix (C', ...).
        bias: (C'), or None.
        steps: what one step of the input is worth, and one of the output.
        zero: the input's integer for 0.
        most: how many steps from 0 the input may be.
        node: for errors.
    """
    taken, given = steps
    rows = rows.detach().double()
    offset = rows.new_zeros(len(rows)) if bias is None else bias.detach().double()
    step = weight_step(rows, offset / taken, most)
    q = torch.round(rows / step[:, None]).long()
    sums = torch.round(offset / (taken * step)).long() - zero * q.sum(1)
    empty = (q == 0).all(1) & (sums == 0)  # their sums are 0, and have no step
    factor = Factor.of(torch.where(empty, 0.0, taken * step / given).tolist(), node.module)
    Factor.check((q.abs().sum(1) * most + sums.abs()).tolist(), node.module)
    return q, sums, factor
