"""Options and arguments that several commands share: one spelling, one meaning."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

Trained = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Run folder, weights file, or shipped weights (`exeunt list`)."
    ),
]
TrainedOrExported = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Run folder, weights file, shipped weights (`exeunt list`), or exported ONNX folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON Lines on stdout, and nothing else.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images that go through the net at once.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that load images.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Threads = Annotated[
    int | None, typer.Option(min=1, show_default=False, help="Of the CPU; all by default.")
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        metavar="224|HxW",
        show_default=False,
        help="Size of images that costs are for; by default the weights' or the network's own.",
    ),
]
Keep = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="K", show_default=False, help="Leave out all that comes after exit K."
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Argument of an architecture, such as width=0.5; may be given several times.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", show_default=False, help="At most N images, seeded and stratified."
    ),
]


AllowUnreadable = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        show_default=False,
        help="Share of the images that may be unreadable, and are left out [0.01].",
    ),
]


class Cluster(StrEnum):
    LOCAL = "local"
    RAY = "ray"


Address = Annotated[str | None, typer.Option(show_default=False, help="Of a Ray cluster, or auto.")]


class Split(StrEnum):
    TEST = "test"
    CALIBRATION = "calibration"
    TRAIN = "train"
    ALL = "all"


class Convention(StrEnum):
    PAPER = "paper"
    OPTIMISED = "memory-optimised"
    LAYERWISE = "layerwise"
    STREAMED = "streamed"


class Dtype(StrEnum):
    FLOAT32 = "float32"
    INT8 = "int8"


class Engine(StrEnum):
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"


class Protocol(StrEnum):
    POLICIES = "policies"
    ANYTIME = "anytime"
    BUDGETED = "budgeted"


OnePolicy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="SPEC",
        show_default=False,
        help="When to leave: full, confidence:T, margin:T, entropy:T, consistency:K or "
        "consistency:K,eta=X, or several with + between. By default that of the weights.",
    ),
]
AnEngine = Annotated[
    Engine | None,
    typer.Option("--engine", show_default=False, help="What runs an ONNX folder [onnxruntime]."),
]
