"""Networks by name, and their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exeunt.errors import ExeuntError
from exeunt.models import (  # noqa: F401  registers their networks
    densenet,
    efficientnet_lite,
    mobilenetv1,
    mobilenetv2,
    msdnet,
    ranet,
    resnet,
    resnet_cifar,
)
from exeunt.models.registry import (
    FORM,
    MODELS,
    build_model,
    comes_with_weights,
    default_image_size,
    describe_model,
    is_model,
    list_models,
    model_takes,
    pretrained_names,
    pretrained_of,
    register_model,
    with_form,
)
from exeunt.models.weights import (
    FORM_BEFORE,
    WeightsInfo,
    find_weights,
    load_weights,
    read_info,
    save_weights,
    shipped_weights,
)
from exeunt.net import MultiExitNet
from exeunt.rex_stem import CHILD, replace_stem

__all__ = [
    "FORM",
    "FORM_BEFORE",
    "MODELS",
    "WeightsInfo",
    "comes_with_weights",
    "create_model",
    "default_image_size",
    "describe_model",
    "find_weights",
    "is_model",
    "list_models",
    "load_weights",
    "model_takes",
    "pretrained_names",
    "pretrained_of",
    "read_info",
    "register_model",
    "save_weights",
    "shipped_weights",
    "with_form",
]


def create_model(
    name: str,
    num_classes: int | None = None,
    in_chans: int = 3,
    weights: str | Path | None = None,
    **kwargs: Any,
) -> MultiExitNet:
    """A network by name: fresh, or with weights.

    Args:
        name: an architecture (`list_models()`), `arch.tag` for weights, or `timm/NAME` and
            `torchvision/NAME` for networks of these (`exeunt.models.foreign`), which take
            `pretrained=True`, or `onnx:FILE.onnx` (`exeunt.models.onnx_network`).
        num_classes: K; by default that of the weights, or of the data the network is named after,
            or 1000. Where it differs from the weights', every exit gets a fresh classifier and the
            trunk keeps its weights.
        in_chans: channels of the image.
        weights: a run folder, a weights file, or the tag of weights that ship or that another
            package has (`"imagenet"`). Of the latter all trunks are taken, and the classifier, as
            the last exit, where the classes are as many.
        kwargs: arguments of the architecture, such as `width=`, `exits=`, `exit_head=`, and of all
            of them `collaborative=True` (`exeunt.collaboration`). With weights they must be those
            that the weights were made with; `rex_stem=` (`exeunt.rex_stem`) may be new.

    Returns:
        The network: in training mode when fresh, in evaluation mode with weights.

    Raises:
        ExeuntError: for an unknown name (with the nearest valid ones) or argument, or weights that
            are missing, damaged or of another architecture.
    """
    if weights is None and "." in name and not is_model(name):
        name, _, weights = name.partition(".")
    if weights is None:
        return build_model(name, num_classes, in_chans, **kwargs)
    tags = MODELS[name].pretrained if name in MODELS else {}
    theirs = tags.get(str(weights))
    stem = kwargs.pop(CHILD, None)
    if theirs is not None:
        net = build_model(name, num_classes, in_chans, **kwargs)
        theirs.give(net, f"{name}.{weights}")
        return _stemmed(net, stem).eval()
    tagged = f"{name}.{weights}"
    found = tagged if tagged in shipped_weights() else str(weights)
    net, info = load_weights(find_weights(found, also=tags))
    if info.architecture != name:
        raise ExeuntError(f"weights {str(weights)!r} are of {info.architecture}, not of {name}")
    if stem is not None and CHILD in info.arguments:
        kwargs[CHILD], stem = stem, None
    for key, value in {"in_chans": in_chans, **kwargs}.items():
        value = list(value) if isinstance(value, tuple) else value  # as the file stores it
        if key not in info.arguments or info.arguments[key] != value:
            raise ExeuntError(
                f"{key}={value!r} does not go with the weights, made with "
                f"{key}={info.arguments.get(key, 'its default')!r}"
            )
    if num_classes is not None and num_classes != net.num_classes:
        net.reset_exits(num_classes)
    return _stemmed(net, stem).eval()


def _stemmed(net: MultiExitNet, stem: Any) -> MultiExitNet:
    """The network with a fresh ReX stem, if one is asked for."""
    if stem is None:
        return net
    assert net.origin is not None
    return replace_stem(net, stem, default_image_size(net.origin[0]))
