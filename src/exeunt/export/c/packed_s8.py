"""Integer weights, as the kernels of the runtime read them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.export.c.source import CSource
from exeunt.quantize.operators import Weighted
from exeunt.quantize.scale import FINE_BITS, INT8, SPARE_BITS, Factor

_MOST_FINE = 1 << 23
WORDS, BYTES = "EXN_WORDS int16_t", "EXN_WORDS int8_t"  # both begin at whole words


def integer_rows(source: CSource, name: str, bias: Tensor, factor: Factor, fill: int = 4) -> str:
    """Filled up to a multiple of 4, as packed weights are, or of 3."""
    every = zip(bias.tolist(), factor.multipliers, factor.shifts, strict=True)
    rows = [f"{{{b << SPARE_BITS}, {m}, {s}}}" for b, m, s in every]
    return source.array("exn_row", f"rows_{name}", [*rows, *["{0, 0, 1}"] * (-len(rows) % fill)])


def requantized(
    source: CSource, name: str, operator: Weighted, parts: Sequence[int] = ()
) -> dict[str, str]:
    """Biases and factors of outputs of 8 bits: by fours, or by rows where factors are too uneven.

    Args:
        source: that is written to.
        name: of the array.
        operator: whose outputs they are.
        parts: channels that each begin with a four of their own; all together if empty.
    """
    fine, bias, factor = _fine_multipliers(operator), operator.bias.tolist(), operator.factor
    if fine is None:
        every = zip(bias, factor.multipliers, factor.shifts, strict=True)
        rows = _filled(
            [f"{{{b << SPARE_BITS}, {m}, {s}}}" for b, m, s in every], parts, "{0, 0, 1}"
        )
        return {"fours": "NULL", "rows": source.array("exn_row", f"rows_{name}", rows)}
    columns = [_filled(list(map(str, column)), parts, "0") for column in (bias, fine)]
    fours = (
        "{" + ", ".join(f"{{{', '.join(column[k : k + 4])}}}" for column in columns) + "}"
        for k in range(0, len(columns[0]), 4)
    )
    return {"fours": source.array("exn_four", f"fours_{name}", fours), "rows": "NULL"}


def _filled(rows: list[str], parts: Sequence[int], empty: str) -> list[str]:
    """Rows of which those of each part, or all, are filled up to a multiple of 4."""
    found: list[str] = []
    for count in parts or [len(rows)]:
        found += [*rows[:count], *[empty] * (-count % 4)]
        rows = rows[count:]
    return found


def _fine_multipliers(operator: Weighted) -> list[int] | None:
    """Multipliers of outputs in 2**-FINE_BITS of the upper 32 bits of a product, if those are exact
    and no sum takes more than 24 bits.
    """
    weight, (least, most) = operator.weight.flatten(1), INT8
    above, below = weight.clamp(min=0).sum(1), weight.clamp(max=0).sum(1)
    high = operator.bias + most * above + least * below
    low = operator.bias + least * above + most * below
    if max(int(high.max()), -int(low.min())) >= _MOST_FINE:
        return None
    found = []
    for multiplier, shift in zip(operator.factor.multipliers, operator.factor.shifts, strict=True):
        by = shift - SPARE_BITS - FINE_BITS
        if multiplier and (by < 0 or multiplier % (1 << by)):
            return None
        found.append(multiplier >> max(by, 0))
    return found


def flat(weight: Tensor) -> list[int]:
    found: list[int] = weight.flatten().tolist()
    return found


def packed(weight: Tensor) -> Tensor:
    """Rows of int8 weights (R, T, C), two in one, as the kernels read them.

    Rows a and b become 256 b + a. Of four rows come four weights of the first two, then four of
    the others, and so on; of every four weights the third comes second. R and C are filled up to
    multiples of 4 and 8 with zeros.
    """
    weight = F.pad(weight, (0, -weight.shape[2] % 8, 0, 0, 0, -len(weight) % 4))
    runs, inputs = weight.shape[1:]
    first, second = weight.view(-1, 2, 2, runs, inputs // 4, 4).unbind(2)
    both = (256 * second + first)[..., [0, 2, 1, 3]]
    return both.permute(0, 2, 3, 1, 4)


def in_fours(taps: Tensor) -> Tensor:
    """Weights of a depthwise filter (C, T), as the kernels read them (C / 4, 4 T).

    Of four channels come those of two taps, channel after channel, and so on; those of an odd tap
    come last. Zeros make C a multiple of 4.
    """
    fours = F.pad(taps, (0, 0, 0, -len(taps) % 4)).view(-1, 4, taps.shape[1])
    pairs, odd = torch.split(fours, [taps.shape[1] // 2 * 2, taps.shape[1] % 2], dim=2)
    pairs = pairs.reshape(len(fours), 4, taps.shape[1] // 2, 2).transpose(1, 2)
    return torch.cat([pairs.flatten(1), odd.flatten(1)], 1)


def in_threes(weight: Tensor) -> Tensor:
    """Rows of weights over 16-bit numbers (R, T, C), as the kernels read them.

    Of three rows come eight weights each, and so on. R and C are filled up to multiples of 3 and 8
    with zeros.
    """
    weight = F.pad(weight, (0, -weight.shape[2] % 8, 0, 0, 0, -len(weight) % 3))
    runs, inputs = weight.shape[1:]
    return weight.view(-1, 3, runs, inputs // 8, 8).permute(0, 2, 3, 1, 4)


def blank(source: CSource, zero: int, channels: int) -> str:
    """A pixel beside the map."""
    return source.array(BYTES, f"blank_{zero % 256}_{channels}", [zero] * channels)
