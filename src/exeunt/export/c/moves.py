"""What the kernels that move numbers are told, whatever the type of number."""

from __future__ import annotations

from typing import Any

from exeunt.errors import ExeuntError
from exeunt.export.c.kernel import Kernel
from exeunt.export.c.source import CSource
from exeunt.graph.graph import Node
from exeunt.graph.moves import Beside
from exeunt.graph.operators import Concat, Flatten, Lines, Operator, Pad, Shuffle, Slice, Unflatten

MOVES = (Beside, Concat, Flatten, Lines, Pad, Shuffle, Slice, Unflatten)


def moving(
    node: Node,
    operator: Operator,
    source: CSource,
    number: int,
    number_bytes: int,
    channels: int,
    blank: int = 0,
) -> Kernel:
    """The kernel of one of `MOVES`.

    Args:
        node: that it is for.
        operator: that moves.
        source: to define constants in.
        number: of the node.
        number_bytes: of one number.
        channels: of the input.
        blank: every byte of the numbers that padding adds.

    Raises:
        ExeuntError: for channels that are taken more than once.
    """
    fields: dict[str, Any]
    if isinstance(operator, Beside | Flatten | Unflatten):
        name = f"exn_{operator.kind.lower()}"
        return Kernel.of(name, {"number_bytes": number_bytes}, source, number)
    if isinstance(operator, Shuffle):
        if len({*operator.order}) < len(operator.order):
            raise ExeuntError(f"{node.module}: no kernel that takes a channel more than once")
        to = [len(operator.order)] * channels
        for place, channel in enumerate(operator.order):
            to[channel] = place
        fields = {
            "to": source.array("uint16_t", f"to_{number}", to),
            "number_bytes": number_bytes,
        }
        return Kernel.of("exn_shuffle", fields, source, number)
    if isinstance(operator, Lines):
        fields = {
            "down": source.array("uint16_t", f"down_{number}", operator.down),
            "across": source.array("uint16_t", f"across_{number}", operator.across),
            "number_bytes": number_bytes,
        }
        return Kernel.of("exn_lines", fields, source, number)
    begins, steps = [0, 0, 0], [1, 1, 1]
    if isinstance(operator, Pad):
        begins = [-count for count in operator.before]
    elif isinstance(operator, Slice):
        begins[operator.axis], steps[operator.axis] = operator.start, operator.step
    else:
        assert isinstance(operator, Concat)
    fields = {
        "top": begins[1],
        "left": begins[2],
        "channel": begins[0],
        "step_y": steps[1],
        "step_x": steps[2],
        "step_channel": steps[0],
        "number_bytes": number_bytes,
        "blank": blank,
    }
    return Kernel.of("exn_move", fields, source, number)
