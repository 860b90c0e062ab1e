"""Which rows of its inputs an operator needs for one row of its output.

A map (C, H, W) has H rows; a vector is a map of one row. An operator that answers by `rows` can run
row by row; the others need all of their input first.
"""

from __future__ import annotations

from exeunt.graph.operator import ROWS, Operator, Shape


def row_count(shape: Shape) -> int:
    """Rows of a tensor of this shape."""
    return shape[ROWS] if len(shape) == 3 else 1


def rows_needed(operator: Operator, taken: Shape, given: Shape, row: int) -> range:
    """The rows of one input, of shape `taken`, that row `row` of the output `given` depends on.

    Rows of padding are left out, so the range may be empty.
    """
    height = row_count(taken)
    if len(taken) != 3 or len(given) != 3:
        return range(height)
    wanted = operator.rows(height, row_count(given), row)
    inside = range(max(wanted.start, 0), min(wanted.stop, height))
    return inside or range(0)
