"""A dial between memory and work: expanded rows are kept, or expanded again; stages end elsewhere.

An inverted residual keeps the expanded rows that its next window reads again. Where memory is
dearer than multiply-adds it keeps none, and expands all rows under every window. What lies whole
while an exit answers can be made smaller, too (see `boundary`). Which blocks and which exits do
that is chosen for a budget, the cheapest that fit, as if images left at all exits alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from exeunt.graph.forms import forms
from exeunt.graph.fuse import InvertedResidual, fuse
from exeunt.graph.graph import Graph, Node
from exeunt.graph.streamed import Draft, StreamedPlan

_STEP = 0.9  # of one plan's bytes: what the next may take
DIAL_EFFORT = 20_000_000  # of placing; fewer rows are there, of more sizes
_NEAR = 0.97  # of the peak: events that come so near are counted
_PATIENCE = 3  # tensors more that may be made again though nothing is won yet
_CLOSER = 4  # times that an arena above its bound is given a smaller budget


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
        search = _Dial(form, element_bytes, image)
        plans.append(search.draft(frozenset()).placed(align_bytes, effort))
        smallest = search.smallest()
        while plans[-1].bound_bytes > smallest.bound_bytes:
            wanted = max(int(_STEP * plans[-1].bound_bytes), smallest.bound_bytes)
            draft = search.within(wanted)
            assert draft is not None
            plans.append(draft.placed(align_bytes, effort))
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
    plain = _closest(_Dial(fused, element_bytes, image), budget_bytes, align_bytes)
    if plain.arena_bytes <= budget_bytes and plain.price_macs == sum(fused.exit_macs):
        return plain
    moved = forms(fused, element_bytes, image)[1:]
    searches = [_Dial(form, element_bytes, image) for form in moved]
    plans = [plain, *(_closest(search, budget_bytes, align_bytes) for search in searches)]
    fitting = [plan for plan in plans if plan.arena_bytes <= budget_bytes]
    if fitting:
        return min(fitting, key=lambda plan: (plan.price_macs, plan.arena_bytes))
    return min(plans, key=lambda plan: (plan.arena_bytes, plan.price_macs))


def _closest(search: _Dial, budget_bytes: int, align_bytes: int) -> StreamedPlan:
    """The cheapest plan of one form within a budget, or the smallest of it."""
    wanted, plans = budget_bytes, []
    for _ in range(_CLOSER):
        draft = search.within(wanted)
        if draft is None:
            break
        plan = draft.placed(align_bytes, DIAL_EFFORT)
        if plan.arena_bytes <= budget_bytes:
            return plan
        plans.append(plan)
        wanted -= plan.arena_bytes - budget_bytes
    plans.append(search.smallest().placed(align_bytes, DIAL_EFFORT))
    return min(plans, key=lambda plan: (plan.arena_bytes, plan.price_macs))


class _Dial:
    """Drafts of one net by what expands again, the outputs of some of its inverted residuals, and
    by what is fleeting, where expanding again alone does not do.
    """

    def __init__(self, graph: Graph, element_bytes: int, image: bool) -> None:
        self.graph, self.element_bytes, self.image = graph, element_bytes, image
        self.drafts: dict[frozenset[str], Draft] = {}
        self.fleeting: list[Draft] = []
        exits = len(graph.stages)
        extra = {  # each exit from there on pays
            node.output: (exits - k) * _extra_macs(graph, node)
            for k, stage in enumerate(graph.stages)
            for node in stage.nodes
            if _expands(node)
        }
        self.extra_macs = {name: macs for name, macs in extra.items() if macs > 0}

    def draft(self, recomputed: frozenset[str]) -> Draft:
        """The draft in which these expand again."""
        if recomputed not in self.drafts:
            graph = with_recomputed(self.graph, recomputed)
            self.drafts[recomputed] = Draft(graph, self.element_bytes, self.image)
        return self.drafts[recomputed]

    def within(self, budget_bytes: int) -> Draft | None:
        """The cheapest found whose bound is within the budget."""
        plain = self.draft(frozenset())
        if plain.bound_bytes <= budget_bytes:
            return plain
        found = [self._turned(budget_bytes), self._all()]
        for recomputed in found:
            if self.draft(recomputed).bound_bytes <= budget_bytes:
                self._spared(recomputed, budget_bytes)
        if all(draft.bound_bytes > budget_bytes for draft in self.drafts.values()):
            self._fleeting_within(budget_bytes)
        drafts = [*self.drafts.values(), *self.fleeting]
        drafts = [draft for draft in drafts if draft.bound_bytes <= budget_bytes]
        return min(drafts, key=_price, default=None)

    def smallest(self) -> Draft:
        """The smallest found."""
        recomputed, size = self._all(), self.draft(self._all()).bound_bytes
        for name in self._dearest(recomputed):
            if self.draft(recomputed - {name}).bound_bytes <= size:
                recomputed -= {name}
                size = self.draft(recomputed).bound_bytes
        self._turned(0)
        size = min(draft.bound_bytes for draft in self.drafts.values())
        ways = [*_ways(self.draft(self._all()))]
        if ways and ways[-1].bound_bytes < size:
            self._fleeting_within(ways[-1].bound_bytes)
        drafts = [*self.drafts.values(), *self.fleeting]
        return min(drafts, key=lambda draft: (draft.bound_bytes, draft.price_macs))

    def _all(self) -> frozenset[str]:
        return frozenset(self.extra_macs)

    def _dearest(self, recomputed: frozenset[str]) -> list[str]:
        return sorted(recomputed, key=lambda name: -self.extra_macs[name])

    def _turned(self, budget_bytes: int) -> frozenset[str]:
        """One more expands again each time: of those that keep rows at the moment when most is
        needed, that which is worth most for its price.
        """
        recomputed: frozenset[str] = frozenset()
        while self.draft(recomputed).bound_bytes > budget_bytes:
            draft = self.draft(recomputed)
            event, events = int(draft.live_bytes.argmax()), len(draft.live_bytes)
            kept = {
                buffer.name.removesuffix(" (kept)"): int(buffer.live_bytes(events)[event])
                for buffer in draft.row_buffers
                if buffer.name.endswith(" (kept)")
            }
            worth = {
                name: kept[name] / macs
                for name, macs in self.extra_macs.items()
                if name not in recomputed and kept.get(name)
            }
            if not worth:
                break
            recomputed |= {max(worth, key=lambda name: worth[name])}
        return recomputed

    def _spared(self, recomputed: frozenset[str], budget_bytes: int) -> None:
        """Lets keep rows again whom there is room for, the dearest first."""
        for name in self._dearest(recomputed):
            if self.draft(recomputed - {name}).bound_bytes <= budget_bytes:
                recomputed -= {name}

    def _fleeting_within(self, budget_bytes: int) -> None:
        """Lets rows be fleeting until all fits, and then keep rows again whom there is room for."""
        recomputed = self._all()
        ways = _ways(self.draft(recomputed))
        draft = next((one for one in ways if one.bound_bytes <= budget_bytes), None)
        if draft is None:
            return
        for name in self._dearest(recomputed):
            other = self.draft(recomputed - {name})
            fleeting = draft.fleeting & {*other.may_be_fleeting()}
            other = other.with_fleeting(fleeting)
            if other.bound_bytes <= budget_bytes and other.price_macs < draft.price_macs:
                recomputed, draft = recomputed - {name}, other
        for name in sorted(draft.fleeting):
            other = draft.with_fleeting(draft.fleeting - {name})
            if other.bound_bytes <= budget_bytes and other.price_macs < draft.price_macs:
                draft = other
        self.fleeting.append(draft)


def _price(draft: Draft) -> tuple[int, int]:
    return draft.price_macs, draft.bound_bytes


def _ways(draft: Draft) -> Iterator[Draft]:
    """Drafts in which ever more rows are fleeting: each time those of the tensor that brings the
    peak lowest, for some steps even if it rises, since several may have to go together.
    """
    names, best, patience = set(draft.may_be_fleeting()), draft.bound_bytes, _PATIENCE
    while names and patience:
        event, events = int(draft.live_bytes.argmax()), len(draft.live_bytes)
        held = {b.name for b in draft.row_buffers if b.live_bytes(events)[event]}
        tried = [draft.with_fleeting({*draft.fleeting, n}) for n in sorted(names & held)]
        if not tried:
            return
        draft = min(tried, key=_height)
        names -= draft.fleeting
        patience -= 1
        if draft.bound_bytes < best:
            best, patience = draft.bound_bytes, _PATIENCE
            yield draft


def _height(draft: Draft) -> tuple[int, int, int]:
    """The peak, how many events come near it, and the price."""
    bound = draft.bound_bytes
    return bound, int((draft.live_bytes > _NEAR * bound).sum()), draft.price_macs


def _extra_macs(graph: Graph, node: Node) -> int:
    """What it costs that a node expands again."""
    shapes = [graph.shapes[name] for name in node.inputs]
    turned = _turned_node(node).operator
    return turned.macs(shapes, graph.shapes[node.output]) - graph.macs[node.output]


def _expands(node: Node) -> bool:
    return isinstance(node.operator, InvertedResidual) and node.operator.expand is not None


def _turned_node(node: Node) -> Node:
    assert isinstance(node.operator, InvertedResidual)
    return replace(node, operator=replace(node.operator, recompute=True))


def with_recomputed(graph: Graph, outputs: Collection[str]) -> Graph:
    """The same fused graph, in which the inverted residuals that make these keep no rows; those
    that do not expand stay as they are.
    """
    stages = tuple(
        replace(
            stage,
            nodes=tuple(
                _turned_node(node) if node.output in outputs and _expands(node) else node
                for node in stage.nodes
            ),
        )
        for stage in graph.stages
    )
    return replace(graph, stages=stages)
