"""Exits for a backbone that was not made for them (shallow-deep networks, Kaya et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from exeunt.backbone.cut import cut, largest_gap, name_of
from exeunt.backbone.follow import Followed, follow, told
from exeunt.backbone.head import (
    OwnHead,
    find_classifier,
    has_last_map,
    last_map,
    maps_of,
    refuse_channels_last,
)
from exeunt.errors import ExeuntError
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import exit_kinds, make_exit

OWN = "own"
_TOLERANCE = 1e-4  # of the largest number


def attach_exits(
    backbone: nn.Module,
    at: Sequence[int | str],
    num_classes: int,
    *,
    exit_head: str | Sequence[str] = "pooled",
    image_shape: tuple[int, int, int] = (3, 64, 64),
) -> MultiExitNet:
    """Makes a shallow-deep network of any backbone, torchvision's and timm's included.

    The backbone is followed by what it computes (`torch.fx`), and cut behind the tensors that taps
    name; what later stages still read, such as the other arm of a residual block, is part of the
    state. Its modules are used, not copied, and keep their names behind `stages.K.trunk.`. What it
    makes of its last map, its own pooling and classifier, is the last exit, with a fresh last layer
    where the classes are not as many. The stages are compared with the backbone's own forward.

    Args:
        backbone: from images (N, C, H, W) to logits, or to a map, and then the last exit is new.
        at: where a net may stop: behind a module, by its path such as `"layer2.1"` or by its
            position among the children that run (0-based, negative from the end), or behind a
            function by its name in the followed code, such as `"add_3"`. Each must give one map.
            Without any, a backbone that has no map before its classifier is one stage as it is.
        num_classes: K.
        exit_head: kind of every exit, or of each; see `exeunt.ops.exits`. A classifier of the
            backbone's is the last exit's all the same, `"own"`, unless each has its kind.
        image_shape: (C, H, W) of an image to follow it on. Branches on sizes and modes are those
            that such images take in evaluation mode.

    Raises:
        ExeuntError: for a tap that does not exist, gives no map or lies behind the last one; a
            backbone that does not run on such images, or whose code cannot be followed, or that
            needs something else than tensors of a batch behind a tap; or when the stages compute
            something else than the backbone.
    """
    reference = next(backbone.parameters(), torch.empty(0))
    images = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(0)).to(reference)
    _refuse_childless(backbone)
    with torch.no_grad(), evaluating(backbone):
        found = find_classifier(backbone, images)
        named = [tap for tap in at if isinstance(tap, str)]
        followed = _followed(backbone, images, [*named, *([found[0]] if found else [])])
        alone = not at and found is not None and not has_last_map(followed, found[0])
        last = followed.image if alone else last_map(followed, found and found[0])
        ends = _ends(backbone, followed, at, last)
        pieces, rest = cut(followed, ends)
        _compare(backbone, images, pieces, rest)
    kinds = _kinds(exit_head, len(ends), found is not None)
    stages = []
    for kind, piece, end in zip(kinds, pieces, ends, strict=True):
        if kind == OWN:
            assert found is not None
            head: nn.Module = OwnHead(rest, found[0])
            if found[1] != num_classes:
                head.reset_classifier(num_classes)  # type: ignore[operator]
        else:
            head = make_exit(kind, followed.values[end].shape[1], num_classes)
        stages.append(Stage(piece, head.to(reference.device)))
    return MultiExitNet(stages, num_classes, image_shape[0]).train(backbone.training)


def _refuse_childless(backbone: nn.Module) -> None:
    if not len(backbone._modules):
        kind = type(backbone).__name__
        raise ExeuntError(f"attach_exits: the backbone ({kind}) has no children to use")


def _kinds(exit_head: str | Sequence[str], count: int, own: bool) -> list[str]:
    if isinstance(exit_head, str):
        return exit_kinds(exit_head, count, OWN if own else None)
    kinds = [*exit_head]
    if own and kinds[-1:] == [OWN]:
        return [*exit_kinds([*kinds[:-1], "pooled"], count)[:-1], OWN]
    return exit_kinds(kinds, count)


def _followed(backbone: nn.Module, images: Tensor, names: Sequence[str]) -> Followed:
    """The backbone, followed into what the named modules lie in."""
    modules = dict(backbone.named_modules(remove_duplicate=False))
    inner = [name for name in names if name in modules]
    opened = {
        ".".join(name.split(".")[:n]) for name in inner for n in range(1, name.count(".") + 1)
    }
    return follow(backbone, images, opened)


def _ends(
    backbone: nn.Module, followed: Followed, at: Sequence[int | str], last: fx.Node
) -> list[fx.Node]:
    """The nodes behind which stages end, in order; the last map is the last of them."""
    maps, chosen = maps_of(followed), {last}
    for tap in at:
        node = _tapped(backbone, followed, tap, last)
        if node not in maps:
            raise ExeuntError(
                f"attach_exits: {tap!r} puts out {told(followed.values[node])}; exits read one map "
                "(N, C, H, W)"
            )
        if followed.places[node] > followed.places[last]:
            raise ExeuntError(
                f"attach_exits: {tap!r} lies behind {name_of(last)!r}, the last map that all of "
                "the output is made of; exits can be no later"
            )
        chosen.add(node)
    ends = sorted(chosen, key=lambda node: followed.places[node])
    refuse_channels_last(followed, ends)
    return ends


def _tapped(backbone: nn.Module, followed: Followed, tap: int | str, last: fx.Node) -> fx.Node:
    """The node of what a tap names."""
    if isinstance(tap, int):
        children = _children(backbone, followed, last)
        if -len(children) <= tap < len(children):
            return _made_by(followed, children[tap])
        shown = _some(children)
        raise ExeuntError(
            f"attach_exits: no child {tap!r}; positions 0 to {len(children) - 1}, names {shown}"
        )
    path = ""
    module = backbone
    functions = {node.name: node for node in followed.nodes if node.op != "call_module"}
    for part in tap.split("."):
        if part not in (names := [*module._modules]):
            if tap in functions:
                return functions[tap]
            where = f"no module {tap!r}; {path!r} has" if path else f"no child {tap!r}; names"
            more = f", functions {_some([*functions])}" if functions and not path else ""
            shown = _some(names) or "none"
            raise ExeuntError(f"attach_exits: {where} {shown}{more}")
        path = f"{path}.{part}" if path else part
        module = module.get_submodule(part)
    return _made_by(followed, path)


def _made_by(followed: Followed, path: str) -> fx.Node:
    calls = [node for node in followed.calls.get(path, []) if node in followed.places]
    if not calls:
        raise ExeuntError(
            f"attach_exits: {path!r} is never called, or nothing is made of what it puts out; name "
            "a module that is, such as a member of a list"
        )
    if len(calls) > 1:
        raise ExeuntError(
            f"attach_exits: {path!r} runs {len(calls)} times, so that it does not say where; name "
            "a module that runs once"
        )
    return calls[0]


def _children(backbone: nn.Module, followed: Followed, last: fx.Node) -> list[str]:
    """Children that run up to the last map, in this order, members of lists among them."""
    top: set[str] = set()

    def note(module: nn.Module, prefix: str) -> None:
        for name, child in module._modules.items():
            if isinstance(child, nn.ModuleList | nn.ModuleDict):
                note(child, f"{prefix}{name}.")
            else:
                top.add(prefix + name)

    note(backbone, "")
    places = followed.places
    found = {
        path: places[calls[-1]]
        for path, calls in followed.calls.items()
        if path in top and calls[-1] in places and places[calls[-1]] <= places[last]
    }
    return sorted(found, key=lambda path: found[path])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _compare(
    backbone: nn.Module, images: Tensor, pieces: Sequence[nn.Module], rest: nn.Module
) -> None:
    """Refuses stages that do not compute what the backbone does.

    Raises:
        ExeuntError: saying by how much they differ.
    """
    wanted = backbone(images.clone())
    state: Any = (images,)
    for piece in pieces:
        moved = piece.eval()(*state)
        state = moved if isinstance(moved, tuple) else (moved,)
    got = rest.eval()(state[-1])
    if isinstance(wanted, Tensor) and isinstance(got, Tensor):
        gap = largest_gap(got, wanted)
        if gap <= _TOLERANCE:
            return
        raise ExeuntError(
            f"attach_exits: the stages give something else than the backbone "
            f"({type(backbone).__name__}): they differ by {gap:.2g} of the largest number. "
            "Its forward does what torch.fx does not see, such as writing into its own weights"
        )
