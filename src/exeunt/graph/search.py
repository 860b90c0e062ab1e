"""The search for orders of all stages that need little memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from exeunt.graph.demand import Demand
from exeunt.graph.order import Order, Rules, StageOrders
from exeunt.graph.stage_rows import StageRows

_PLACES = 12  # at which a stage may go over from streaming to whole maps, or back
_EVENTS = 700_000  # that may be tried in all
_NEAR = 0.97  # of the peak: events that come so near are counted


def order_stages(
    stages: Sequence[StageRows], demand: Demand, rules: Sequence[Rules] | None = None
) -> list[Order]:
    """An order for each stage; no other stage's matters for what one needs at most.

    Each gets the best of a few: a run of its first or its last maps whole, and the rest streaming.
    Then the one that needs most is improved by other rules for one tensor at a time, until another
    needs more, or nothing helps. Deterministic.

    Args:
        stages: of a net.
        demand: what their rows need.
        rules: for each stage, if they are known: then nothing is searched.
    """
    if rules is not None:
        found = [
            StageOrders(stage, demand).order(rule, math.inf)
            for stage, rule in zip(stages, rules, strict=True)
        ]
        return [order for order in found if order is not None]
    searches = [_Search(StageOrders(stage, demand)) for stage in stages]
    for search in searches:
        search.start()
    while sum(search.orders.events_tried for search in searches) < _EVENTS:
        worst = max(searches, key=lambda search: search.peak_bytes)
        others = [search.peak_bytes for search in searches if search is not worst]
        if not worst.improve(max(others, default=0)):
            break
    return [search.best for search in searches]


class _Search:
    """The search for one stage."""

    best: Order

    def __init__(self, orders: StageOrders) -> None:
        self.orders, self.stage = orders, orders.stage
        self.score: tuple[float, ...] = (math.inf,)
        self.peak_at = 0
        self.tried: set[Rules] = set()
        stage = self.stage
        read = [k for k in range(len(stage.nodes)) if any(stage.readers[k])]
        self.maps = [stage.names[k] for k in read if stage.heights[k] > 1]
        self.turns = [(True, name) for name in self.maps]
        self.turns += [(False, stage.names[k]) for k in read]

    @property
    def peak_bytes(self) -> float:
        return self.score[0]

    def start(self) -> None:
        """Tries a few rules."""
        handed = frozenset(
            name for name, held in zip(self.stage.names, self.stage.held, strict=True) if any(held)
        )
        for eager in (handed, handed | self._narrowing()):
            for whole in _runs(self.maps):
                self._try(Rules(whole, eager))

    def improve(self, enough_bytes: float) -> bool:
        """Changes the rules for one tensor at a time until less than `enough_bytes` is needed, or
        no change helps: first for tensors that come before the peak, then for all.

        Returns:
            Whether any change helped.
        """
        before = self.score
        for everywhere in (False, True):
            changed = True
            while changed:
                changed = False
                for whole, name in self.turns:
                    if everywhere or self._comes_before_peak(name):
                        changed |= self._change(name, whole)
                    if self.peak_bytes < enough_bytes or self.orders.events_tried > _EVENTS:
                        return self.score < before
        return self.score < before

    def _change(self, name: str, whole: bool) -> bool:
        """Tries the other rule for one tensor; returns whether that is better."""
        rules, change = self.best.rules, frozenset({name})
        if whole:
            return self._try(Rules(rules.whole ^ change, rules.eager))
        return self._try(Rules(rules.whole, rules.eager ^ change))

    def _comes_before_peak(self, name: str) -> bool:
        """Whether all that its first row is made of is there by the last peak."""
        born, stage = self.best.schedule.born, self.stage
        return all(
            number >= stage.made or born[stage.names[number]][end - 1] <= self.peak_at
            for number, _, end in stage.reads[stage.numbers[name]][0]
        )

    def _try(self, rules: Rules) -> bool:
        """Returns whether these are better than all before."""
        if rules in self.tried:
            return False
        self.tried.add(rules)
        found = self.orders.order(rules, self.peak_bytes)
        if found is None:
            return False
        peak = max(found.live_bytes)
        near = sum(live > _NEAR * peak for live in found.live_bytes)
        score = (peak, near, sum(found.live_bytes))
        if score >= self.score:
            return False
        self.score, self.best = score, found
        self.peak_at = max(at for at, live in enumerate(found.live_bytes) if live == peak)
        return True

    def _narrowing(self) -> frozenset[str]:
        """What is smaller than what it is made of, of which earlier stages left some."""
        stage = self.stage
        sizes = [a * b for a, b in zip(self.orders.row_bytes, stage.heights, strict=True)]
        found = set()
        for k in range(len(stage.nodes)):
            sources = {number for reads in stage.reads[k] for number, _, _ in reads}
            if max(sources, default=0) >= stage.made and sizes[k] < sum(sizes[n] for n in sources):
                found.add(stage.names[k])
        return frozenset(found)


def _runs(names: Sequence[str]) -> Iterator[frozenset[str]]:
    """The last of these names, and the first, from none to all."""
    places = min(_PLACES, len(names))
    for place in range(places + 1):
        at = place * len(names) // max(places, 1)
        yield frozenset(names[at:])
        yield frozenset(names[:at])
