"""Which maps an MSDNet makes (Huang et al. 2018), what each is made from, and when. Integers alone.

Maps lie on a grid of layers and scales. Scale 0 is the finest, and the exits read the coarsest.
Layer 0 holds the first maps, each made from the next finer one; a later map is made from the map
before it on its own scale, and from the finer scale's map of that same earlier layer, if there is
one. Fine scales are dropped on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exeunt.errors import ExeuntError

Place = tuple[int, int]
"""Layer and scale of a map. (0, -1) is the image."""

IMAGE: Place = (0, -1)


@dataclass(frozen=True)
class Grid:
    """The maps of an MSDNet.

    Attributes:
        scales: S.
        surviving: how many scales, the coarsest ones, are there after layer 0, 1, ... N.
        transitions: layers that end in a transition, which narrows all their maps.
    """

    scales: int
    surviving: tuple[int, ...]
    transitions: frozenset[int]

    @classmethod
    def pruned(cls, layers: int, scales: int, prune: str) -> Grid:
        """The grid of `layers` layers, without its fine scales towards the end.

        Args:
            layers: N.
            scales: S.
            prune: `"max"` drops a scale after every `ceil(N / S)` layers, and puts a transition
                there; `"min"` drops only what the last map cannot see, and puts transitions after
                a third and two thirds of the layers.

        Raises:
            ExeuntError: for another way to prune.
        """
        if prune == "max":
            interval = -(-layers // scales)
            surviving = [scales - max(0, layer - 1) // interval for layer in range(layers + 1)]
            transitions = {
                layer for layer in range(1, layers + 1) if surviving[layer] < surviving[layer - 1]
            }
        elif prune == "min":
            surviving = [min(scales, layers - layer + 1) for layer in range(layers + 1)]
            transitions = {layers // 3, 2 * layers // 3} - {0}
        else:
            raise ExeuntError(f"prune={prune!r}; one of 'max', 'min'")
        return cls(scales, tuple(surviving), frozenset(transitions))

    def reads(self, node: Place) -> tuple[Place, ...]:
        """The maps that one is made from: its own scale's first."""
        layer, scale = node
        if layer == 0:
            return ((0, scale - 1),)
        before = ((layer - 1, scale), (layer - 1, scale - 1))
        finest = self.scales - self.surviving[layer - 1]
        return before if scale > finest else before[:1]

    def ancestors(self, node: Place) -> set[Place]:
        """A map and all that it is made from, the image left out."""
        found: set[Place] = set()
        open_ends = [node]
        while open_ends:
            node = open_ends.pop()
            if node not in found and node != IMAGE:
                found.add(node)
                open_ends += self.reads(node)
        return found

    def stages(self, ends: Sequence[int], lazy: bool) -> list[list[Place]]:
        """The maps that each stage makes, in order.

        Layers run one after the other and, within a layer, from coarse to fine, so that one map of
        each scale, the latest, is all that later ones read. Maps that the last exit is not made
        from are never made.

        Args:
            ends: the layer of each exit, ascending; the last is N.
            lazy: a stage makes only what its exit is made from; otherwise every map up to the
                exit's layer.
        """
        coarsest = self.scales - 1
        used = self.ancestors((ends[-1], coarsest))
        made: set[Place] = set()
        stages: list[list[Place]] = []
        for end in ends:
            wanted = (
                self.ancestors((end, coarsest))
                if lazy
                else {node for node in used if node[0] <= end}
            )
            stages.append(sorted(wanted - made, key=_order))
            made |= wanted
        return stages


def _order(node: Place) -> Place:
    """Layer by layer: the first maps from fine to coarse, all others from coarse to fine."""
    layer, scale = node
    return (layer, scale if layer == 0 else -scale)
