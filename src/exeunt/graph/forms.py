"""Forms of one net: its stages end elsewhere, so that less is held while an exit answers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

from exeunt.graph.boundary import again, handed_on, later, movable, sources
from exeunt.graph.graph import Graph
from exeunt.graph.streamed import Draft

_DRAFTS = 24  # that are tried in all
_PLACES = 3  # for a boundary to move to, and tensors to begin again from
_FORMS = 6  # that are kept


def forms(graph: Graph, element_bytes: int, image: bool) -> list[Graph]:
    """The graph, and what its stages may be made instead: each form needs less at once than all
    that cost no more. Deterministic.

    As long as most is needed beside what an exit leaves behind, that is made smaller, in all ways
    there are; then the way is followed that saves most for its price.

    Args:
        graph: of a whole net, fused.
        element_bytes: 4 for float32, 1 for int8.
        image: whether the rows of the image that are needed take memory, too.
    """
    draft = Draft(graph, element_bytes, image)
    found, left = [draft], _DRAFTS
    while True:
        tried = [Draft(form, element_bytes, image) for form in islice(_moved(draft), left)]
        left -= len(tried)
        less = [one for one in tried if one.bound_bytes < draft.bound_bytes]
        if not less:
            break
        found += less
        draft = max(less, key=lambda one, old=draft: _worth(one, old))  # type: ignore[misc]
    kept: list[Draft] = []
    for one in sorted(found, key=lambda one: (one.price_macs, one.bound_bytes)):
        if not kept or one.bound_bytes < kept[-1].bound_bytes:
            kept.append(one)
    return [one.graph for one in kept[:_FORMS]]


def _worth(draft: Draft, old: Draft) -> float:
    """Bytes that are saved for each multiply-add."""
    return (old.bound_bytes - draft.bound_bytes) / max(draft.price_macs - old.price_macs, 1)


def _moved(draft: Draft) -> Iterator[Graph]:
    """The forms in which a boundary beside the peak has moved."""
    graph, peak = draft.graph, int(draft.live_bytes.argmax())
    stage = bisect_left(draft.schedule.ends, peak)
    for boundary in (stage, stage - 1):
        if 0 <= boundary < len(graph.stages) - 1:
            for count in _places(graph, boundary)[:_PLACES]:
                yield later(graph, boundary, count)
            smallest = sorted(sources(graph, boundary), key=graph.elements)[:_PLACES]
            for source in smallest:
                yield again(graph, boundary, source)


def _places(graph: Graph, boundary: int) -> list[int]:
    """How many operators may run before an exit answers so that less is handed on than with
    fewer.
    """
    sizes = [_handed(graph, boundary, count) for count in range(len(movable(graph, boundary)) + 1)]
    least, found = sizes[0], []
    for count, size in enumerate(sizes):
        if size < least:
            least = size
            found.append(count)
    return found


def _handed(graph: Graph, boundary: int, count: int) -> int:
    """Numbers that are handed on where so many operators have moved."""
    moved = later(graph, boundary, count)
    return sum(moved.elements(name) for name in handed_on(moved, boundary))
