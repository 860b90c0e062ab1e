"""Training that begins with weights instead of random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from exeunt.data import Transform
from exeunt.documents import naming
from exeunt.errors import ExeuntError
from exeunt.models import (
    default_image_size,
    find_weights,
    is_model,
    list_models,
    load_weights,
    pretrained_names,
    pretrained_of,
    read_info,
)
from exeunt.net import MultiExitNet
from exeunt.rex_stem import CHILD, replace_stem


def settings_of(init: str) -> dict[str, Any]:
    """The settings of a run that goes on with the network and the input of some weights.

    Args:
        init: a run folder, a weights file, or the name of weights that ship.

    Raises:
        ExeuntError: when there are no such weights.
    """
    path = find_weights(init, also=pretrained_names())
    info = read_info(path)
    with naming(path):
        transform = Transform.from_dict(info.transform)
    arguments = dict(info.arguments)
    settings: dict[str, Any] = {
        "model": info.architecture,
        "image_size": transform.image_size[0],
        "grey": transform.mode == "L",
    }
    usual = Transform(transform.image_size, mode=transform.mode)
    if (transform.mean, transform.std) != (usual.mean, usual.std):
        settings |= {"mean": list(transform.mean), "std": list(transform.std)}
    for key in ("exits", "exit_head"):
        if key in arguments:
            value = arguments.pop(key)
            settings[key] = value if isinstance(value, str) else ",".join(map(str, value))
    for key in ("num_classes", "in_chans"):
        arguments.pop(key, None)
    return settings | {"model_args": arguments}


def with_pretrained(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which `init` of the form `arch.tag` is spelled as model and `weights`, if the tag
    is that of another package's weights.
    """
    model, _, tag = str(values.get("init")).partition(".")
    if model not in list_models() or pretrained_of(model, {"weights": tag}) is None:
        return dict(values)
    if values.get("model", model) != model:
        raise ExeuntError(
            f"init={values['init']!r} are weights of {model}, not of {values['model']}"
        )
    arguments = {"weights": tag} | values.get("model_args", {})
    rest = {key: value for key, value in values.items() if key != "init"}
    return rest | {"model": model, "model_args": arguments}


def input_of(model: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the input that weights of another package were trained on, where a network's
    arguments ask for some.
    """
    theirs = pretrained_of(model, arguments) if is_model(model) else None
    if theirs is None:
        return {}
    return {
        "image_size": theirs.image_size,
        "mean": list(theirs.mean),
        "std": list(theirs.std),
    }


@torch.no_grad()
def start_from(net: MultiExitNet, init: str, class_names: Sequence[str]) -> None:
    """Gives `net` the weights of `init`: all trunks, and those exits that fit.

    Classifiers are taken over where the classes are the same. Of others a class begins with what
    the weights know of one of the same name, and fresh where there is none; so do all outputs of
    regression, where every run has units of its own. Where `net` has a ReX stem and the weights
    are those of the network without, it begins with a stem that is as fresh (`exeunt.rex_stem`).

    Raises:
        ExeuntError: when there are no such weights, or a trunk differs.
    """
    path = find_weights(init)
    source, info = load_weights(path)
    stem = net.origin and net.origin[1].get(CHILD)
    if stem and CHILD not in info.arguments:
        source = replace_stem(source, stem, default_image_size(info.architecture))
    tensors, own = source.state_dict(), net.state_dict()
    same_classes = bool(class_names) and list(class_names) == info.class_names
    classifiers = tuple(_classifiers(net))
    shared = [
        (k, info.class_names.index(name))
        for k, name in enumerate(class_names)
        if name in info.class_names
    ]
    for name, tensor in own.items():
        fits = name in tensors and tensors[name].shape == tensor.shape
        if ".exit." not in name:
            if not fits:
                got = tuple(tensors[name].shape) if name in tensors else "nothing"
                raise ExeuntError(
                    f"init={init!r}: {info.architecture} has {got} for {name}, where "
                    f"{tuple(tensor.shape)} is needed; leave out model, width and the like to go "
                    "on with the network of the weights"
                )
        elif name.startswith(classifiers) and not same_classes:
            if name in tensors and tensors[name].shape[1:] == tensor.shape[1:]:
                for here, there in shared:
                    tensor[here] = tensors[name][there]
            continue
        elif not fits:
            continue
        tensor.copy_(tensors[name])


def _classifiers(net: MultiExitNet) -> Iterator[str]:
    """What the names of tensors begin with that hold something for each class."""
    for k, stage in enumerate(net.stages):
        last = getattr(stage.get_submodule("exit"), "classifier_name", "classifier")
        yield f"stages.{k}.exit.{last}."


def refuse_other_split(
    role: str, model: str, data: Mapping[str, str], split: Mapping[str, Any]
) -> None:
    """Makes sure that what is held out now was not trained on before.

    Args:
        role: of the weights, `init` or `teacher`.
        model: the weights to begin with, or to learn from.
        data: fingerprint of the images.
        split: seed, fractions and limit.

    Raises:
        ExeuntError: when the weights are of the same images, split in another way.
    """
    info = read_info(find_weights(model))
    if info.of_data("fingerprint") == data["fingerprint"] and info.split != dict(split):
        odd = [f"{key}={value!r}" for key, value in info.split.items() if split.get(key) != value]
        raise ExeuntError(
            f"{role}={model!r} was trained on the same images with {', '.join(odd)}; with another "
            "split it has seen images that are to be held out now. Give the same"
        )


def licence_of_pretrained(model: str, arguments: Mapping[str, Any]) -> str:
    """The terms of weights of another package that a run began with, if it did."""
    theirs = pretrained_of(model, arguments)
    if theirs is None:
        return ""
    tag = f".{arguments['weights']}" if "weights" in arguments else ""
    return f"; began with {model}{tag}, of {theirs.data}: {theirs.licence}"


def licence_of(model: str, how: str = "began with") -> str:
    """The terms of the images behind other weights, that a run began with or learnt from."""
    info = read_info(find_weights(model))
    return f"; {how} {model}, of {info.of_data('name')}: {info.of_data('licence')}"
