"""A dial between memory and work: rows are kept, or made again; stages end elsewhere.

An inverted residual keeps the expanded rows that its next window reads again. Where memory is
dearer than multiply-adds it keeps none, and expands all rows under every window. Maps can be made
again for each window (see `fleeting`), by bands of their columns (see `bands`), and what lies whole
while an exit answers can be made smaller (see `boundary`). What is done is chosen for a budget, the
cheapest that fits, as if images left at all exits alike.
"""

from __future__ import annotations

from exeunt.graph.forms import forms
from exeunt.graph.fuse import fuse
from exeunt.graph.graph import Graph
from exeunt.graph.streamed import Draft, StreamedPlan
from exeunt.graph.ways import Way, Ways

_STEP = 0.9  # of one plan's bytes: what the next may take
DIAL_EFFORT = 20_000_000  # of placing; fewer rows are there, of more sizes
_QUICKLY = 1_000_000  # of placing one of many
_CLOSER = 4  # times that an arena above its bound is given a smaller budget
_TRIED = 24  # drafts that need no more than the budget, to be placed quickly
_BESIDE = 12  # blocks that may keep their rows again in the smallest plan


def dial(
    graph: Graph,
    element_bytes: int,
    *,
    image: bool = True,
    align_bytes: int = 4,
    effort: int | None = None,
) -> list[StreamedPlan]:
    """Plans of falling size and rising price, the first as `plan_stream` makes it. Deterministic.

    Args:
        graph: of a whole net.
        element_bytes: 4 for float32, 1 for int8.
        image: whether the rows of the image that are needed take memory, too.
        align_bytes: that every offset is a multiple of.
        effort: of placing each plan (see `place`); None for `DIAL_EFFORT`.
    """
    effort = DIAL_EFFORT if effort is None else effort
    plans: list[StreamedPlan] = []
    for form in forms(fuse(graph), element_bytes, image):
        search = Ways(form, element_bytes, image)
        smallest = search.smallest().bound_bytes
        draft = search.draft(Way())
        plans.append(draft.placed(align_bytes, effort))
        while draft.bound_bytes > smallest:
            less = search.within(max(int(_STEP * draft.bound_bytes), smallest))
            assert less is not None
            draft = less
            plans.append(draft.placed(align_bytes, effort))
        if len(search.drafts) > 1:
            plans.append(_least(search, align_bytes, effort))
    kept: list[StreamedPlan] = []
    for plan in sorted(plans, key=lambda plan: (plan.price_macs, plan.arena_bytes)):
        if not kept or plan.arena_bytes < kept[-1].arena_bytes:
            kept.append(plan)
    return kept


def plan_within(
    graph: Graph,
    element_bytes: int,
    budget_bytes: int,
    *,
    image: bool = True,
    align_bytes: int = 4,
) -> StreamedPlan:
    """The plan of the lowest price found whose arena is no larger than a budget.

    Args:
        graph: of a whole net.
        element_bytes: 4 for float32, 1 for int8.
        budget_bytes: what the arena may take.
        image: whether the rows of the image that are needed take memory, too.
        align_bytes: that every offset is a multiple of.

    Returns:
        A plan within the budget, or the smallest that was found.
    """
    fused = fuse(graph)
    plain = _closest(Ways(fused, element_bytes, image), budget_bytes, align_bytes)
    if plain.arena_bytes <= budget_bytes and plain.price_macs == sum(fused.exit_macs):
        return plain
    moved = forms(fused, element_bytes, image)[1:]
    searches = [Ways(form, element_bytes, image) for form in moved]
    plans = [plain, *(_closest(search, budget_bytes, align_bytes) for search in searches)]
    fitting = [plan for plan in plans if plan.arena_bytes <= budget_bytes]
    if fitting:
        return min(fitting, key=lambda plan: (plan.price_macs, plan.arena_bytes))
    return min(plans, key=lambda plan: (plan.arena_bytes, plan.price_macs))


def _closest(search: Ways, budget_bytes: int, align_bytes: int) -> StreamedPlan:
    """The cheapest plan of one form within a budget, or the smallest of it."""
    wanted, placed = budget_bytes, list[Draft]()
    for _ in range(_CLOSER):
        draft = search.within(wanted)
        if draft is None:
            break
        plan = draft.placed(align_bytes, DIAL_EFFORT)
        if plan.arena_bytes <= budget_bytes:
            return plan
        placed.append(draft)
        wanted -= plan.arena_bytes - budget_bytes
    left = [draft for draft in search.fitting(budget_bytes) if draft not in placed]
    for draft in left[:_TRIED]:
        plan = draft.placed(align_bytes, min(_QUICKLY, DIAL_EFFORT))
        if plan.arena_bytes <= budget_bytes:
            return plan
    search.smallest()
    return _least(search, align_bytes, DIAL_EFFORT)


def _least(search: Ways, align_bytes: int, effort: int) -> StreamedPlan:
    """The plan with the smallest arena: of the ways that need least at once, since of two that need
    as much one may be placed much closer; and then of ways in which one block after the other
    keeps its rows again, if that takes no more.
    """
    quickly = min(_QUICKLY, effort)
    plans = {way: search.draft(way).placed(align_bytes, quickly) for way in search.few()}
    way = min(plans, key=lambda way: _size(plans[way]))
    plan = plans[way]
    for name in search.dearest(way)[:_BESIDE]:
        other = search.keeping(way, name)
        found = search.draft(other).placed(align_bytes, quickly)
        if _size(found) < _size(plan):
            way, plan = other, found
    return min(plan, search.draft(way).placed(align_bytes, effort), key=_size)


def _size(plan: StreamedPlan) -> tuple[int, int]:
    return plan.arena_bytes, plan.price_macs
