"""Networks of ONNX files, with exits: `onnx:FILE.onnx`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from exeunt.backbone import (
    OnnxGraph,
    attach_exits,
    graph_of,
    image_shape_of,
    named_places,
    network_of,
)
from exeunt.errors import ExeuntError
from exeunt.models.pretrained import USUAL_MEAN, USUAL_STD, Input
from exeunt.models.source import Source
from exeunt.net import MultiExitNet

PREFIX = "onnx:"


def is_onnx(name: str) -> bool:
    """Whether a name means the network of an ONNX file."""
    return name.startswith(PREFIX) and name != PREFIX


def build_onnx(
    file: str,
    num_classes: int | None = None,
    in_chans: int = 3,
    *,
    exits: str | int | Sequence[str | int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    graph: str | None = None,
) -> MultiExitNet:
    """A network of an ONNX file, with its weights, and exits.

    Its own classifier is the last exit, with a fresh last layer where the classes are not as many.

    Args:
        file: its path.
        num_classes: K; as many as the network has by default.
        in_chans: channels of the image, which must be those of the file.
        exits: `"paper"` (behind the last map of each size), `"all"` (behind every operator that
            hands on one map alone), `"last"`, a number (so many, evenly by multiply-adds), or names
            of operators.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            for each exit, `"own"` being the network's classifier.
        graph: what weights files have in place of the file, which is then not read: all of it but
            weights (`exeunt.backbone.OnnxGraph.packed`).

    Raises:
        ExeuntError: when there is no such file, it cannot be read, or no exits can be attached.
    """
    device = torch.empty(0).device  # where networks are made, `meta` for one
    with torch.device("cpu"):
        found = graph_of(file) if graph is None else OnnxGraph.unpacked(graph, f"{PREFIX}{file}")
        shape = found.shape
        if shape[0] != in_chans:
            raise ExeuntError(f"{PREFIX}{file} takes images of {shape[0]} channels, not {in_chans}")
        backbone = network_of(found)
        with torch.no_grad():
            outputs = backbone(torch.zeros(2, *shape)).shape[-1]
        at = named_places(backbone, shape, exits)
        classes = num_classes or outputs
        net = attach_exits(backbone, at, classes, exit_head=exit_head, image_shape=shape)
    net.origin = f"{PREFIX}{file}", {"exits": at, "graph": graph or found.packed()}
    return net.to(device)


def _input(file: str) -> Input:
    """What the weights of a file take; it does not say how images are normalised, so that is as
    ImageNet's usually are.

    Raises:
        ExeuntError: when there is no such file, or it cannot be read.
    """
    size = image_shape_of(file)[1]
    about = "the images of its weights", "as whoever made it states"
    return Input(size, USUAL_MEAN, USUAL_STD, *about)


FILES = Source(PREFIX, build_onnx, _input, lambda arguments: "graph" not in arguments)
