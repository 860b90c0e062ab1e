"""Training that begins with weights instead of random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from exeunt.data import Transform
from exeunt.documents import naming
from exeunt.errors import ExeuntError
from exeunt.models import find_weights, load_weights, read_info
from exeunt.net import MultiExitNet


def settings_of(init: str) -> dict[str, Any]:
    """The settings of a run that goes on with the network and the input of some weights.

    Args:
        init: a run folder, a weights file, or the name of weights that ship.

    Raises:
        ExeuntError: when there are no such weights.
    """
    path = find_weights(init)
    info = read_info(path)
    with naming(path):
        transform = Transform.from_dict(info.transform)
    arguments = dict(info.arguments)
    settings: dict[str, Any] = {
        "model": info.architecture,
        "image_size": transform.image_size[0],
        "grey": transform.mode == "L",
    }
    for key in ("exits", "exit_head"):
        if key in arguments:
            value = arguments.pop(key)
            settings[key] = value if isinstance(value, str) else ",".join(map(str, value))
    for key in ("num_classes", "in_chans"):
        arguments.pop(key, None)
    return settings | {"model_args": arguments}


@torch.no_grad()
def start_from(net: MultiExitNet, init: str, class_names: Sequence[str]) -> None:
    """Gives `net` the weights of `init`: all trunks, and those exits that fit.

    Classifiers are taken over only where the classes are the same; they stay fresh otherwise, and
    always for regression, where every run has units of its own.

    Raises:
        ExeuntError: when there are no such weights, or a trunk differs.
    """
    path = find_weights(init)
    source, info = load_weights(path)
    tensors, own = source.state_dict(), net.state_dict()
    same_classes = bool(class_names) and list(class_names) == info.class_names
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
        elif not fits or (".classifier." in name and not same_classes):
            continue
        tensor.copy_(tensors[name])


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


def licence_of(model: str, how: str = "began with") -> str:
    """The terms of the images behind other weights, that a run began with or learnt from."""
    info = read_info(find_weights(model))
    return f"; {how} {model}, of {info.of_data('name')}: {info.of_data('licence')}"
