"""Whether a plan fits, and what stands in the way."""

from __future__ import annotations

import numpy as np

from exeunt.errors import ExeuntError
from exeunt.graph.streamed import StreamedPlan

_NAMED = 3


def check_budget(plan: StreamedPlan, budget_bytes: int) -> None:
    """Refuses a plan that is larger.

    Raises:
        ExeuntError: naming the operator at which most is needed and what takes most there.
    """
    if plan.arena_bytes <= budget_bytes:
        return
    needed = [buffer.live_bytes(len(plan.schedule.events)) for buffer in plan.row_buffers]
    event = int(np.sum(needed, axis=0).argmax())
    node = plan.schedule.events[event].node
    alive = [
        (buffer, int(there[event])) for buffer, there in zip(plan.row_buffers, needed, strict=True)
    ]
    largest = sorted(alive, key=lambda pair: -pair[1])[:_NAMED]
    said = ", ".join(f"{buffer.name} ({size} bytes)" for buffer, size in largest if size)
    raise ExeuntError(
        f"the arena takes {plan.arena_bytes} bytes, more than {budget_bytes}; most is needed at "
        f"{node.module if node else 'the image'}, where the largest are {said}. A smaller image or "
        "width helps, ReX in place of the early blocks, or int8 in place of float32"
    )
