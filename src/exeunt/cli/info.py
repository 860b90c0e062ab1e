"""`exeunt info`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import Arguments, ImageSize, Json
from exeunt.cli.render import describe_transform, show_facts, show_json, show_table
from exeunt.errors import ExeuntError
from exeunt.text import figure, millions, percent, short_spec

if TYPE_CHECKING:
    from exeunt.models import WeightsInfo
    from exeunt.net import ExitInfo


def info(
    model: Annotated[
        str, typer.Argument(help="Architecture, run folder, weights file or shipped weights.")
    ],
    arguments: Arguments = None,
    image_size: ImageSize = None,
    draw: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.svg",
            show_default=False,
            help="Also write a drawing of its blocks, scales and exits.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a network is and what exits cost.

    With weights also their classes, transform, policy, figures, data and the command behind them.
    """
    from exeunt.documents import parse_pairs
    from exeunt.models import FORM
    from exeunt.trained import Network

    network = Network.open(model, arguments=parse_pairs(arguments, "--set"))
    net, weights, path = network.net, network.info, network.path
    size = parse_size(image_size) if image_size else network.image_size
    exits = net.exit_info(size)
    if draw is not None:
        from exeunt.report.network_drawing import draw_network

        draw_network(draw, net, size, Path(model).resolve().name)
    facts: dict[str, Any] = {
        "model": " ".join((model, *(arguments or ()))),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "image_size": list(size),
    }
    own = net.origin[1] if net.origin else {}
    facts |= {FORM: own[FORM]} if FORM in own else {}
    if json:
        if weights:
            facts |= {"file": str(path), **asdict(weights)}
        show_json({"kind": "model", **facts})
        for row in exits:
            show_json({"kind": "exit", "exit": row.index + 1, **_columns(row)})
        return
    height, width = size
    shown = [("model", facts["model"]), ("parameters", f"{facts['parameters'] / 1e6:.3f} M")]
    shown += [(FORM, str(facts[FORM]))] if FORM in facts else []
    if weights:
        shown += [("weights file", str(path)), *_facts(weights)]
    behind = own.get("exits")
    if isinstance(behind, list | tuple) and behind and isinstance(behind[0], str):
        shown.append(("exits behind", f"{', '.join(behind)}, and its end"))
    if draw is not None:
        shown.append(("drawing", draw))
    show_facts(shown)
    typer.echo(f"\nexits for {height} x {width} pixels (MACs are cumulative)")
    _show_exits(exits)
    if weights:
        for split, figures in weights.metrics.items():
            _show_metrics(split, figures)


def parse_size(text: str) -> tuple[int, int]:
    """Reads `224` or `HxW` as (H, W).

    Raises:
        ExeuntError: when it is neither, or not at least 1.
    """
    height, x, width = text.partition("x")
    if not height.isdecimal() or (x and not width.isdecimal()):
        raise ExeuntError(f"--image-size {text!r}; give pixels such as 224, or HxW such as 96x128")
    size = (int(height), int(width or height))
    if min(size) < 1:
        raise ExeuntError(f"--image-size {text!r}; give at least 1 pixel")
    return size


def _columns(row: ExitInfo) -> dict[str, Any]:
    return {
        "module": row.module,
        "channels": row.channels,
        "reduction": row.reduction,
        "macs": row.macs,
    }


def _show_exits(exits: list[ExitInfo]) -> None:
    full = exits[-1].macs
    show_table(
        ("exit", "module", "channels", "reduction", "MACs", "of full"),
        [
            (
                str(row.index + 1),
                row.module,
                str(row.channels),
                f"1/{row.reduction}",
                millions(row.macs),
                percent(row.macs / full),
            )
            for row in exits
        ],
        "rlrrrr",
    )


def _facts(weights: WeightsInfo) -> list[tuple[str, str]]:
    facts = [
        ("architecture", weights.architecture),
        ("task", weights.task),
        ("transform", describe_transform(weights.transform)),
        ("policy", weights.policy),
        ("data", f"{weights.of_data('name')} ({weights.of_data('fingerprint')})"),
        ("data licence", weights.of_data("licence")),
        ("splits", _listed(weights.split)),
        ("stored as", weights.storage),
        ("made by", weights.command or "not stated"),
        ("with", _listed(weights.versions)),
    ]
    if weights.class_names:
        names = ", ".join(weights.class_names)
        facts.insert(2, ("classes", f"{len(weights.class_names)}: {names}"))
    return facts


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "not stated"


def _show_metrics(split: str, figures: dict[str, Any]) -> None:
    """Prints the figures of one split, as `WeightsInfo.metrics` holds them."""
    names = [name for name in ("accuracy", "mae", "rmse") if name in figures["exits"][0]]

    def scores(row: dict[str, float]) -> list[str]:
        return [percent(row[name]) if name == "accuracy" else figure(row[name]) for name in names]

    rows = [[str(k), *scores(row), ""] for k, row in enumerate(figures["exits"], 1)]
    if "policy" in figures:
        policy = figures["policy"]
        rows.append([short_spec(policy["spec"]), *scores(policy), percent(policy["saving"])])
    typer.echo(f"\n{split} split, {figures['samples']} images")
    show_table(["exit", *names, "saving"], rows, "l" + "r" * (len(names) + 1))
