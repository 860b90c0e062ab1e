"""Where a network's maps end, and what it makes of the last of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from exeunt.backbone.cut import name_of
from exeunt.backbone.follow import Followed, told
from exeunt.errors import ExeuntError

WAY_OUT = (
    "give an nn.Sequential(OrderedDict(name=part, ...)) of parts that run one after the other, "
    "each from one map (N, C, H, W) to the next"
)


class OwnHead(nn.Module):
    """What a network itself makes of its last map, as an exit: its pooling and its classifier.

    Args:
        body: from a map (N, C, H, W) to logits (N, K).
        classifier: path in it of the layer with one output for each class.
    """

    def __init__(self, body: nn.Module, classifier: str) -> None:
        super().__init__()
        self.body = body
        self.classifier_name = f"body.{classifier}"

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.body(x)
        return logits

    @torch.no_grad()
    def reset_classifier(self, num_classes: int) -> None:
        """Replaces the last layer by a fresh one with `num_classes` outputs."""
        old = self.get_submodule(self.classifier_name)
        fresh: nn.Linear | nn.Conv2d
        if isinstance(old, nn.Conv2d):
            fresh = nn.Conv2d(old.in_channels, num_classes, old.kernel_size)  # type: ignore[arg-type]
        else:
            assert isinstance(old, nn.Linear)
            fresh = nn.Linear(old.in_features, num_classes)
        nn.init.normal_(fresh.weight, 0, 0.01)
        if fresh.bias is not None:
            nn.init.zeros_(fresh.bias)
        self.set_submodule(self.classifier_name, fresh.to(old.weight).train(old.training))

    @torch.no_grad()
    def rescale(self, scale: float, shift: float) -> None:
        """Makes every output `scale * output + shift`, in the last layer."""
        layer: Any = self.get_submodule(self.classifier_name)
        if layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.new_zeros(len(layer.weight)))
        layer.weight.mul_(scale)
        layer.bias.mul_(scale).add_(shift)


def find_classifier(backbone: nn.Module, images: Tensor) -> tuple[str, int] | None:
    """Path and outputs of the layer that a network classifies with: the last that has weights, if
    it is linear and has an output for each logit.
    """
    last: list[str] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            last[:] = [name]

        return hook

    weighted = [
        (name, module)
        for name, module in backbone.named_modules()
        if next(module.parameters(recurse=False), None) is not None
        and not any(next(child.parameters(), None) is not None for child in module.children())
    ]
    hooks = [module.register_forward_hook(note(name)) for name, module in weighted]
    try:
        out = backbone(images)
    except (RuntimeError, ValueError, TypeError, AssertionError):  # `follow` says where
        return None
    finally:
        for hook in hooks:
            hook.remove()
    if not last or not isinstance(out, Tensor) or out.dim() != 2:
        return None
    layer = backbone.get_submodule(last[0]) if last[0] else backbone
    classes = out.shape[1]
    linear = isinstance(layer, nn.Linear) and layer.out_features == classes
    pointwise = isinstance(layer, nn.Conv2d) and (
        layer.out_channels,
        layer.kernel_size,
        layer.groups,
    ) == (classes, (1, 1), 1)
    return (last[0], classes) if last[0] and (linear or pointwise) else None


def last_map(followed: Followed, classifier: str | None) -> fx.Node:
    """The last map that everything after it is made of, and that nothing but a head comes after.

    Args:
        followed: the network.
        classifier: path of the layer that it classifies with, if it has one.

    Raises:
        ExeuntError: when there is none, or parts of the network that are no head would come after.
    """
    maps = maps_of(followed)
    calls = [] if classifier is None else followed.calls[classifier]
    before = min((followed.places[node] for node in calls), default=len(followed.nodes))
    ends = [
        node
        for place, node in enumerate(followed.nodes[:before])
        if node in maps and {*followed.crossing(place)} <= {node}
    ]
    if not ends:
        raise ExeuntError(
            f"attach_exits: the backbone ({followed.kind}) has no map (N, C, H, W) that all of its "
            f"output is made of, so exits have nothing to read; {WAY_OUT}"
        )
    end = ends[-1]
    behind = followed.nodes[followed.places[end] + 1 :]
    left_out = [
        node for node in behind if _has_weights(followed, node) and not _is_head(followed, node)
    ]
    if left_out:
        names = list(dict.fromkeys(name_of(node) for node in left_out))
        shown = ", ".join(map(repr, names[:4])) + (", ..." if len(names) > 4 else "")
        given = told([followed.values[source] for source in left_out[0].all_input_nodes])
        raise ExeuntError(
            f"attach_exits: behind {name_of(end)!r} the backbone ({followed.kind}) has no single "
            f"map (N, C, H, W) for exits to read, but {shown}, the first of which works on "
            f"{given}; {WAY_OUT}"
        )
    return end


def has_last_map(followed: Followed, classifier: str | None) -> bool:
    """Whether there is such a map, with its channels where exits read them."""
    try:
        return not channels_last(followed, [last_map(followed, classifier)])
    except ExeuntError:
        return False


def maps_of(followed: Followed) -> set[fx.Node]:
    """Nodes that give maps: (N, C, H, W), of more than one pixel for these images or for larger."""
    four = [
        node
        for node in followed.nodes
        if isinstance(value := followed.values[node], Tensor) and value.dim() == 4
    ]
    maps = {node for node in four if followed.values[node].shape[2:] != (1, 1)}
    if len(maps) < len(four):
        larger = followed.again(followed.images.repeat(1, 1, 2, 2))
        for node in four:
            value = larger.get(node)
            if isinstance(value, Tensor) and value.shape[2:] != (1, 1):
                maps.add(node)
    return maps


def refuse_channels_last(followed: Followed, ends: Sequence[fx.Node]) -> None:
    """Refuses maps (N, H, W, C).

    Raises:
        ExeuntError: naming the first.
    """
    for end in channels_last(followed, ends):
        raise ExeuntError(
            f"attach_exits: {name_of(end)!r} puts out {told(followed.values[end])}, which has "
            "its channels last; exits read maps (N, C, H, W)"
        )


def channels_last(followed: Followed, ends: Iterable[fx.Node]) -> list[fx.Node]:
    """Those that give maps (N, H, W, C): wider images make these wider in another place."""
    odd = []
    for end in ends:
        shape = followed.values[end].shape
        if shape[1] == shape[2] != shape[3]:
            odd.append(end)
    wider = followed.again(followed.images.repeat(1, 1, 1, 2)) if odd else {}
    found = []
    for end in odd:
        value = wider.get(end)
        if value is None or value.shape[2] != followed.values[end].shape[2]:
            found.append(end)
    return found


def _has_weights(followed: Followed, node: fx.Node) -> bool:
    if node.op == "call_module":
        return next(followed.parts[str(node.target)].parameters(), None) is not None
    return any(source.op == "get_attr" for source in node.all_input_nodes)


def _is_head(followed: Followed, node: fx.Node) -> bool:
    """Whether it works on vectors, or makes one of a map; a 1x1 convolution may be the classifier
    before the pooling.
    """
    module = followed.parts[str(node.target)] if node.op == "call_module" else None
    given = [followed.values[source] for source in node.all_input_nodes if source.op != "get_attr"]
    if _is_vector(followed.values[node]) or all(map(_is_vector, given)):
        return True
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)


def _is_vector(value: Any) -> bool:
    """Whether something is (N, C), or (N, C, 1, 1)."""
    return isinstance(value, Tensor) and (value.dim() <= 2 or value.shape[2:] == (1, 1))
