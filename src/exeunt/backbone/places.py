"""Where a network may stop: behind which of its modules one map is all that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from exeunt.backbone.cut import name_of
from exeunt.backbone.follow import follow
from exeunt.backbone.head import (
    channels_last,
    find_classifier,
    has_last_map,
    last_map,
    maps_of,
)
from exeunt.errors import ExeuntError
from exeunt.mode import evaluating
from exeunt.ops.macs import counting_macs


@dataclass(frozen=True)
class Place:
    """Behind one module.

    Attributes:
        name: of the module, as `attach_exits` takes it.
        size: of its map, (H, W).
        share: of the network's multiply-adds that are done by then.
    """

    name: str
    size: tuple[int, int]
    share: float


@torch.no_grad()
def places_of(
    backbone: nn.Module, image_shape: tuple[int, int, int], *, inside: bool = False
) -> list[Place]:
    """Every module behind which all that comes later reads its map alone, in order; at the end the
    last map, whatever makes it. None where there is no last map.

    Args:
        backbone: left as it is.
        image_shape: (C, H, W) of an image to follow it on.
        inside: look inside the parts that its rows are made of too, as long as these hold rows.

    Raises:
        ExeuntError: as `attach_exits`.
    """
    reference = next(backbone.parameters(), torch.empty(0))
    images = reference.new_zeros(2, *image_shape)
    with evaluating(backbone):
        found = find_classifier(backbone, images)
        into = found[0] if found else ""
        opened = {".".join(into.split(".")[:n]) for n in range(1, into.count(".") + 1)}
        followed = follow(backbone, images, opened | {*_rows(backbone, inside)})
        if not has_last_map(followed, found and found[0]):
            return []
        last, maps = last_map(followed, found and found[0]), maps_of(followed)
        maps -= {*channels_last(followed, maps)}
        with counting_macs(backbone) as count:
            backbone(images)
    costs = count.by_module
    names = {calls[0]: path for path, calls in followed.calls.items() if len(calls) == 1}
    done, places = 0, []
    for place, node in enumerate(followed.nodes[: followed.places[last]]):
        if node.op == "call_module":
            path = str(node.target)
            done += sum(n for name, n in costs.items() if f"{name}.".startswith(f"{path}."))
        if node in names and node in maps and {*followed.crossing(place)} <= {node}:
            height, width = followed.values[node].shape[2:]
            places.append(Place(names[node], (height, width), done / max(1, count.total)))
    height, width = followed.values[last].shape[2:]
    return [*places, Place(name_of(last), (height, width), 1.0)]


def even_places(places: Sequence[Place], count: int) -> list[str]:
    """Behind which modules `count` exits are, evenly by multiply-adds; the last is the network's.

    Raises:
        ExeuntError: when there are fewer places.
    """
    inner = places[:-1]
    if not 1 <= count <= len(inner) + 1:
        there = f", behind {', '.join(place.name for place in inner)}" if inner else ""
        raise ExeuntError(
            f"exits={count}: the network has places for 1 to {len(inner) + 1}{there} and at its end"
        )
    chosen: list[Place] = []
    for i in range(1, count):
        rest = [place for place in inner if place not in chosen]
        # of several behind the same multiply-adds the last: behind the function, say
        chosen.append(min(reversed(rest), key=lambda place: abs(place.share - i / count)))
    return [place.name for place in inner if place in chosen]


def stage_places(places: Sequence[Place]) -> list[str]:
    """The modules with the last map of each size, those of the stem's and of the last left out."""
    ends = [place for place, after in pairwise(places) if after.size < place.size]
    return [place.name for place in ends[1:]]


def named_places(
    backbone: nn.Module,
    image_shape: tuple[int, int, int],
    exits: str | int | Sequence[str | int],
    stages: Callable[[nn.Module], list[str] | None] = lambda _: None,
) -> list[str]:
    """The modules behind which exits are asked for, the last exit left out.

    Args:
        backbone: left as it is.
        image_shape: (C, H, W) of an image to follow it on.
        exits: `"paper"`, `"all"`, `"last"`, a number, or the paths of modules, in one string too,
            with commas between.
        stages: where a network itself says that its stages end, for `"paper"`; None where it does
            not. Then, and where no map (N, C, H, W) is to be had behind any of them, they end
            behind the last map of each size.

    Raises:
        ExeuntError: for several of which one is a number, or as `places_of` and `even_places`.
    """
    alone = exits[0] if not isinstance(exits, str | int) and len(exits) == 1 else exits
    if isinstance(alone, int):
        found = places_of(backbone, image_shape)
        if len(found) <= 2 * alone:  # a choice between too few
            found = places_of(backbone, image_shape, inside=True)
        return even_places(found, alone)
    if exits == "last":
        return []
    if exits == "all":
        return [place.name for place in places_of(backbone, image_shape)[:-1]]
    if exits == "paper":
        found, own = places_of(backbone, image_shape), stages(backbone) or []
        return own if any(place.name in own for place in found) else stage_places(found)
    names = exits.split(",") if isinstance(exits, str) else [*exits]  # type: ignore[misc]
    if odd := [name for name in names if not isinstance(name, str)]:
        raise ExeuntError(f"exits: {odd[0]!r} among several; give one number, or paths of modules")
    return [str(name) for name in names]


def _rows(module: nn.Module, inside: bool, prefix: str = "") -> Iterator[str]:
    """Paths of what runs its parts one after the other, and of that inside it."""
    for name, child in module._modules.items():
        path = f"{prefix}{name}"
        if isinstance(child, nn.ModuleList | nn.ModuleDict) and not _has_code(child):
            yield from _rows(child, inside, f"{path}.")
        elif child is not None and (_is_row(child) or (inside and _holds_row(child))):
            yield path
            yield from _rows(child, inside, f"{path}.")


def _has_code(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward


def _is_row(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _holds_row(module: nn.Module) -> bool:
    """Whether it has a row of several parts, and code of its own around that."""
    rows = (nn.Sequential, nn.ModuleList)
    return any(isinstance(child, rows) and len(child) > 1 for child in module.children())
