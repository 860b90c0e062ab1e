"""Ways to carry out one net: what expands again, what is fleeting, what goes by bands of columns.

Each needs less at once than a plan that makes everything once, and takes more multiply-adds. None
has a place yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from exeunt.graph.bands import chains, with_bands
from exeunt.graph.boundary import MADE
from exeunt.graph.fuse import InvertedResidual
from exeunt.graph.graph import Graph, Node
from exeunt.graph.streamed import Draft

_NEAR = 0.97  # of the peak: events that come so near are counted
_PATIENCE = 3  # tensors more that may be made again though nothing is won yet
_RUNS = (2, 3, 4)  # nodes of a chain that bands of columns go through
_BANDS = (2, 3, 4, 6)
_SPARED = 2  # ways with bands, the cheapest that fit, in which others keep rows again
_LEAST = 8  # sizes whose cheapest ways are `few`


@dataclass(frozen=True)
class Way:
    """One of them.

    Attributes:
        again: outputs of inverted residuals that expand again.
        fleeting: tensors whose rows are made whenever they are read.
        run: outputs of the chain that is carried out by bands of columns; what is between its ends
            is fleeting, and all of it expands again.
        bands: how many.
    """

    again: frozenset[str] = frozenset()
    fleeting: frozenset[str] = frozenset()
    run: tuple[str, ...] = ()
    bands: int = 1


class Ways:
    """The ways of one net that have been looked at.

    Args:
        graph: fused.
        element_bytes: 4 for float32, 1 for int8.
        image: whether the rows of the image that are needed take memory, too.
    """

    def __init__(self, graph: Graph, element_bytes: int, image: bool) -> None:
        self.graph, self.element_bytes, self.image = graph, element_bytes, image
        self.drafts: dict[Way, Draft] = {}
        exits = len(graph.stages)
        extra = {  # each exit from there on pays
            node.output: (exits - k) * _extra_macs(graph, node)
            for k, stage in enumerate(graph.stages)
            for node in stage.nodes
            if _expands(node)
        }
        self.extra_macs = {name: macs for name, macs in extra.items() if macs > 0}
        self.all = frozenset(self.extra_macs)
        self._banded: list[Way] | None = None

    def draft(self, way: Way) -> Draft:
        """What a way needs."""
        if way not in self.drafts:
            self.drafts[way] = self._make(way)
        return self.drafts[way]

    def _make(self, way: Way) -> Draft:
        if way.fleeting:
            bare = self.draft(replace(way, fleeting=frozenset()))
            return bare.with_fleeting(bare.fleeting | way.fleeting)
        graph = with_recomputed(self.graph, way.again.union(way.run))
        if not way.run:
            return Draft(graph, self.element_bytes, self.image)
        run = [node for node in graph.nodes if node.output in way.run]
        like = None if way.again == self.all else self.draft(replace(way, again=self.all))
        banded = with_bands(graph, run, way.bands)
        draft = Draft(banded, self.element_bytes, self.image, like)
        inner = {name for name in draft.may_be_fleeting() if name.rpartition(MADE)[0] in way.run}
        return draft.with_fleeting(inner)

    def within(self, budget_bytes: int) -> Draft | None:
        """The cheapest found that needs no more at once than the budget."""
        plain = self.draft(Way())
        if plain.bound_bytes <= budget_bytes:
            return plain
        for way in (self._turned(budget_bytes), Way(self.all)):
            if self.draft(way).bound_bytes <= budget_bytes:
                self._spared(way, budget_bytes)
        if not self.fitting(budget_bytes):
            self._fleeting_within(budget_bytes)
            self._banded_within(budget_bytes)
        return min(self.fitting(budget_bytes), key=_price, default=None)

    def fitting(self, budget_bytes: int) -> list[Draft]:
        """Those found that need no more at once than the budget, the cheapest first."""
        return sorted(
            (draft for draft in self.drafts.values() if draft.bound_bytes <= budget_bytes),
            key=_price,
        )

    def smallest(self) -> Draft:
        """The one found that needs least at once."""
        self._spared(Way(self.all), self.draft(Way(self.all)).bound_bytes)
        self._turned(0)
        size = min(draft.bound_bytes for draft in self.drafts.values())
        ways = [*self._ever_more_fleeting(Way(self.all))]
        if ways and self.draft(ways[-1]).bound_bytes < size:
            self._fleeting_within(self.draft(ways[-1]).bound_bytes)
        size = min(draft.bound_bytes for draft in self.drafts.values())
        least = min((self.draft(way).bound_bytes for way in self.banded()), default=size)
        if least < size:
            self._banded_within(least)
        return min(self.drafts.values(), key=lambda draft: (draft.bound_bytes, draft.price_macs))

    def few(self) -> list[Way]:
        """The cheapest ways of each of the least sizes found."""
        found: dict[int, Way] = {}
        for way, draft in sorted(self.drafts.items(), key=lambda pair: _price(pair[1])):
            found.setdefault(draft.bound_bytes, way)
        return [found[size] for size in sorted(found)[:_LEAST]]

    def keeping(self, way: Way, name: str) -> Way:
        """The same, in which a block keeps its rows; what is fleeting then cannot all be."""
        bare = replace(way, again=way.again - {name}, fleeting=frozenset())
        if not way.fleeting:
            return bare
        return replace(bare, fleeting=way.fleeting & {*self.draft(bare).may_be_fleeting()})

    def dearest(self, way: Way) -> list[str]:
        """What expands again, the dearest first."""
        return sorted(way.again.difference(way.run), key=lambda name: -self.extra_macs[name])

    def _turned(self, budget_bytes: int) -> Way:
        """One more expands again each time: of those that keep rows at the moment when most is
        needed, that which is worth most for its price.
        """
        way = Way()
        while self.draft(way).bound_bytes > budget_bytes:
            draft = self.draft(way)
            event, events = int(draft.live_bytes.argmax()), len(draft.live_bytes)
            kept = {
                buffer.name.removesuffix(" (kept)"): int(buffer.live_bytes(events)[event])
                for buffer in draft.row_buffers
                if buffer.name.endswith(" (kept)")
            }
            worth = {
                name: kept[name] / macs
                for name, macs in self.extra_macs.items()
                if name not in way.again and kept.get(name)
            }
            if not worth:
                break
            way = Way(way.again | {max(worth, key=lambda name: worth[name])})
        return way

    def _spared(self, way: Way, budget_bytes: int) -> Way:
        """Lets keep rows again whom there is room for, the dearest first."""
        price = self.draft(way).price_macs
        for name in self.dearest(way):
            other = self.keeping(way, name)
            draft = self.draft(other)
            if draft.bound_bytes <= budget_bytes and draft.price_macs < price:
                way, price = other, draft.price_macs
        return way

    def _fleeting_within(self, budget_bytes: int) -> None:
        """Lets rows be fleeting until all fits, and then keep rows again whom there is room for."""
        for way in self._ever_more_fleeting(Way(self.all)):
            if self.draft(way).bound_bytes <= budget_bytes:
                break
        else:
            return
        way = self._spared(way, budget_bytes)
        for name in sorted(way.fleeting):
            less = replace(way, fleeting=way.fleeting - {name})
            other, draft = self.draft(less), self.draft(way)
            if other.bound_bytes <= budget_bytes and other.price_macs < draft.price_macs:
                way = less

    def _ever_more_fleeting(self, way: Way) -> Iterator[Way]:
        """Ways in which ever more rows are fleeting: each time those of the tensor that brings the
        peak lowest, for some steps even if it rises, since several may have to go together.
        """
        draft = self.draft(way)
        names, best, patience = set(draft.may_be_fleeting()), draft.bound_bytes, _PATIENCE
        while names and patience:
            draft = self.draft(way)
            event, events = int(draft.live_bytes.argmax()), len(draft.live_bytes)
            held = {b.name for b in draft.row_buffers if b.live_bytes(events)[event]}
            tried = [replace(way, fleeting=way.fleeting | {name}) for name in sorted(names & held)]
            if not tried:
                return
            way = min(tried, key=lambda one: _height(self.draft(one)))
            names -= way.fleeting
            patience -= 1
            if self.draft(way).bound_bytes < best:
                best, patience = self.draft(way).bound_bytes, _PATIENCE
                yield way

    def banded(self) -> list[Way]:
        """Ways in which the beginning of the longest chain is carried out by bands of columns, and
        all others expand again.
        """
        if self._banded is None:
            run = max(chains(self.graph), key=len, default=())
            self._banded = [
                Way(self.all, run=tuple(node.output for node in run[:length]), bands=bands)
                for length in _RUNS
                for bands in _BANDS
                if length <= len(run) and bands <= self.graph.shapes[run[length - 1].output][2]
            ]
        return self._banded

    def _banded_within(self, budget_bytes: int) -> None:
        """Lets keep rows again whom there is room for beside bands of columns."""
        fit = [way for way in self.banded() if self.draft(way).bound_bytes <= budget_bytes]
        for way in sorted(fit, key=lambda way: _price(self.draft(way)))[:_SPARED]:
            self._spared(way, budget_bytes)


def _price(draft: Draft) -> tuple[int, int]:
    return draft.price_macs, draft.bound_bytes


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
