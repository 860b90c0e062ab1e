"""The order in which the rows of one stage are made, by rules that leave some choice."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from exeunt.graph.demand import Demand
from exeunt.graph.schedule import Event, Schedule
from exeunt.graph.stage_rows import Reads, StageRows


@dataclass(frozen=True)
class Rules:
    """What may be chosen.

    Attributes:
        whole: tensors that are completed before anyone reads them.
        eager: tensors whose rows are made as soon as they can be. Those of all others are made when
            somebody lacks them, as the exit does first of all.
    """

    whole: frozenset[str] = frozenset()
    eager: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Order:
    """A stage, put in order.

    Attributes:
        rules: that it follows.
        schedule: counted from the first event of the stage.
        live_bytes: what is needed at each event.
    """

    rules: Rules
    schedule: Schedule
    live_bytes: list[int]


class StageOrders:
    """All orders of one stage.

    Args:
        stage: what its rows are made of.
        demand: what they need.

    Attributes:
        events_tried: of all orders so far: what they cost to find.
    """

    def __init__(self, stage: StageRows, demand: Demand) -> None:
        self.stage = stage
        self.events_tried = 0
        self.row_bytes = [demand.row_bytes.get(name, 0) for name in stage.names]
        outputs = [node.output for node in stage.nodes]
        self.kept_bytes = [demand.kept_bytes[name] for name in outputs]
        self.scratch_bytes = [demand.scratch_bytes[name] for name in outputs]
        self.replaceable = [
            [stage.numbers[source] for source in demand.replaceable[name]] for name in outputs
        ]
        self.left = [
            [count + held for count, held in zip(*both, strict=True)]
            for both in zip(stage.readers, stage.held, strict=True)
        ]
        self.held_bytes = sum(
            size * sum(count > 0 for count in left)
            for size, left in zip(
                self.row_bytes[stage.made :], self.left[stage.made :], strict=True
            )
        )

    def order(self, rules: Rules, limit_bytes: float) -> Order | None:
        """The order by these rules: whoever is furthest and may, goes on.

        Returns:
            None if more than `limit_bytes` would be needed at some event.
        """
        tried = _Pass(self, rules, limit_bytes)
        order = tried.carry_out()
        self.events_tried += len(tried.events)
        return order


class _Pass:
    """One pass over a stage. Nodes and tensors go by the stage's numbers."""

    def __init__(self, orders: StageOrders, rules: Rules, limit_bytes: float) -> None:
        stage = orders.stage
        self.orders, self.stage, self.rules, self.limit_bytes = orders, stage, rules, limit_bytes
        self.whole = [name in rules.whole for name in stage.names]
        self.wanted = [
            height if name in rules.eager or name == stage.logits else 0
            for name, height in zip(stage.names, stage.heights, strict=True)
        ]
        self.idle = [False] * len(stage.names)
        self.made = [0] * stage.made + stage.heights[stage.made :]
        self.taken = [0] * len(stage.nodes)
        self.waiting: list[list[int]] = [[] for _ in stage.names]
        self.ready: list[int] = []
        self.events: list[Event] = []
        self.acts: list[list[int]] = [[] for _ in stage.nodes]
        self.born: list[list[int]] = [[] for _ in range(stage.made)]
        self.last = [[-1] * len(left) for left in orders.left]
        self.left = [[*left] for left in orders.left]
        self.live = orders.held_bytes
        self.live_bytes: list[int] = []

    def carry_out(self) -> Order | None:
        for k in range(len(self.stage.nodes)):
            self._queue(k)
        while True:
            if self.ready:
                k = -heappop(self.ready)
                self._go_on(k)
                self._queue(k)
            elif not (self._arrive() or self._wake()):
                return self._order()
            if self.live_bytes and self.live_bytes[-1] > self.limit_bytes:
                return None

    def _queue(self, k: int) -> None:
        """Puts a node among those that can go on, or lets it wait for a row and asks for that."""
        asked: int | None = k
        while asked is not None:
            asked = self._admit(asked)

    def _admit(self, k: int) -> int | None:
        """As `_queue`; returns the node to be asked, if one was idle and now is not."""
        stage, row = self.stage, self.made[k]
        self.idle[k] = row >= self.wanted[k]
        if self.idle[k]:
            return None
        for number, _, end in stage.reads[k][row]:
            if stage.accumulates[k]:
                end = min(self.taken[k] + 1, end)
            if self.whole[number]:
                end = stage.heights[number]
            if self.made[number] < end:
                self.waiting[number].append(k)
                if self.wanted[number] < end:
                    self.wanted[number] = end
                    return number if self.idle[number] else None
                return None
        heappush(self.ready, -k)
        return None

    def _wake(self) -> bool:
        """Lets the furthest go on whose rows nobody asked for; returns whether there is one."""
        for k in reversed(range(len(self.stage.nodes))):
            if self.idle[k] and self.made[k] < self.stage.heights[k]:
                self.wanted[k] = self.stage.heights[k]
                self._queue(k)
                return True
        return False

    def _arrive(self) -> bool:
        """Lets a row of the image arrive; returns whether there was one."""
        image = len(self.stage.nodes)
        if image == self.stage.made or self.made[image] == self.stage.heights[image]:
            return False
        self._make(image)
        self.live_bytes.append(self.live)
        self._hand_on(image)
        return True

    def _go_on(self, k: int) -> None:
        """Lets a node make a row, or take one in."""
        orders, reads, row = self.orders, self.stage.reads[k][self.made[k]], self.made[k]
        if not self.acts[k]:
            self.live += orders.kept_bytes[k]
        self.acts[k].append(len(self.events))
        takes = self.stage.accumulates[k] and self.taken[k] < max((r[2] for r in reads), default=0)
        if takes:
            self.events.append(self.stage.takes[k][self.taken[k]])
            reads = [(number, self.taken[k], self.taken[k] + 1) for number, _, _ in reads]
            self.taken[k] += 1
        else:
            self._make(k)
        need = self.live + orders.scratch_bytes[k]
        if takes or not self.stage.accumulates[k]:
            self._read(reads)
        if not takes and self._replaces(k, row):
            need -= orders.row_bytes[k]
        self.live_bytes.append(need)
        if self.made[k] == self.stage.heights[k]:
            self.live -= orders.kept_bytes[k]
        if not takes:
            self._hand_on(k)

    def _make(self, k: int) -> None:
        self.born[k].append(len(self.events))
        self.events.append(self.stage.makes[k][self.made[k]])
        self.made[k] += 1
        self.live += self.orders.row_bytes[k]

    def _hand_on(self, k: int) -> None:
        """Drops a row just made if nobody reads it, and looks who waited for it."""
        newest = self.made[k] - 1
        if not self.left[k][newest]:
            self._drop(k, newest)
        waiting, self.waiting[k] = self.waiting[k], []
        for reader in waiting:
            self._queue(reader)

    def _read(self, reads: Reads) -> None:
        for number, start, end in reads:
            left = self.left[number]
            for row in range(start, end):
                left[row] -= 1
                if not left[row]:
                    self._drop(number, row)

    def _replaces(self, k: int, row: int) -> bool:
        """Whether a row just made may lie where one does that was just read for the last time."""
        now = len(self.events) - 1
        return any(self.last[number][row] == now for number in self.orders.replaceable[k])

    def _drop(self, number: int, row: int) -> None:
        self.last[number][row] = len(self.events) - 1
        self.live -= self.orders.row_bytes[number]

    def _order(self) -> Order:
        stage, end = self.stage, len(self.events) - 1
        schedule = Schedule(
            tuple(self.events),
            {node.output: acts for node, acts in zip(stage.nodes, self.acts, strict=True)},
            dict(zip(stage.names, self.born, strict=False)),
            {
                name: [end if more else at for more, at in zip(left, last, strict=True)]
                for name, left, last in zip(stage.names, self.left, self.last, strict=True)
            },
            (end,),
        )
        return Order(self.rules, schedule, self.live_bytes)
