"""What the kernels that move numbers are told, whatever the type of number."""

from __future__ import annotations

from exeunt.export.c.kernel import Kernel
from exeunt.export.c.source import CSource
from exeunt.graph.operators import Concat, Flatten, Operator, Pad, Slice

MOVES = (Concat, Flatten, Pad, Slice)


def moving(
    operator: Operator, source: CSource, number: int, number_bytes: int, blank: int = 0
) -> Kernel:
    """The kernel of one of `MOVES`.

    Args:
        operator: that moves.
        source: to define constants in.
        number: of the node.
        number_bytes: of one number.
        blank: every byte of the numbers that padding adds.
    """
    if isinstance(operator, Flatten):
        fields = {"number_bytes": number_bytes}
        return Kernel.of("exn_flatten", fields, source, number)
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
