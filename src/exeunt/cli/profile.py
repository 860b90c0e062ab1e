"""`exeunt profile`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.info import parse_size
from exeunt.cli.options import (
    Arguments,
    Convention,
    Device,
    Dtype,
    ImageSize,
    Json,
    Keep,
    OnePolicy,
)
from exeunt.cli.render import show_json, warn
from exeunt.errors import ExeuntError
from exeunt.output_file import check_output

if TYPE_CHECKING:
    from exeunt.profile import Engine, Latency
    from exeunt.trained import Network

_NOT_WITH_DIAL = ("convention", "compare", "latency", "exits", "csv")
_OF_LATENCY = ("device", "threads", "runs", "compile")


def profile(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Architecture, run folder, weights file or shipped weights."
        ),
    ],
    arguments: Arguments = None,
    image_size: ImageSize = None,
    keep: Keep = None,
    convention: Annotated[
        list[Convention] | None,
        typer.Option(
            show_default=False,
            help="What peak memory means; may be given several times. By default all.",
        ),
    ] = None,
    dtype: Annotated[
        list[Dtype] | None,
        typer.Option(
            show_default=False, help="Type of the numbers in memory; may be given twice. Both."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL2", show_default=False, help="Another, for images of the same size."
        ),
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure milliseconds too, one image at a time.")
    ] = False,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile",
            help="With --latency: also as torch.compile makes it, which takes a minute or more.",
        ),
    ] = True,
    device: Device = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="With --latency: of the CPU.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="With --latency: to measure.")] = 50,
    exits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.exits",
            show_default=False,
            help="A recording of MODEL (`exeunt record`), for means over its images.",
        ),
    ] = None,
    policy: OnePolicy = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Draw memory over time, as PNG or SVG."
        ),
    ] = None,
    dial: Annotated[
        bool,
        typer.Option(
            "--dial",
            help="Instead: what fewer bytes cost in multiply-adds, where expanded rows are not "
            "kept; --plot draws that.",
        ),
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Write a row for each exit to this file."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a network costs at every exit, before it is trained.

    Multiply-adds by operator, peak memory of one image by several conventions side by side, and
    who holds that memory; docs/memory.md explains them. MODEL2 is shown next to MODEL.
    """
    from exeunt.cli.costs import show_comparison, show_profile, title_of, write_costs
    from exeunt.device import usable_device
    from exeunt.documents import parse_pairs
    from exeunt.profile import costs_of, shares_of
    from exeunt.report.canvas import check_figure, write_figure
    from exeunt.report.memory_figure import memory_figure
    from exeunt.trained import Network

    _refuse_options(ctx, latency, exits, dial)
    for name, file in (("--csv", csv), ("--plot", plot)):
        check_output(name, file, [model, compare, exits])
    if plot is not None:
        check_figure(plot)
    if latency:
        usable_device(device)
    network = Network.open(model, keep, parse_pairs(arguments, "--set"))
    title = " ".join((model, *(arguments or ())))
    if dial:
        from exeunt.cli.dial import show_dial
        from exeunt.graph import build_graph

        graph = build_graph(
            network.net, parse_size(image_size) if image_size else network.image_size
        )
        show_dial(title, graph, [one.value for one in dtype or Dtype], plot, json)
        return
    shares = None if exits is None else shares_of(network, model, exits, policy)
    networks = [(title, network)]
    if compare is not None:
        networks.append((compare, Network.open(compare, keep)))
    size = parse_size(image_size) if image_size else network.image_size
    conventions = [one.value for one in convention or Convention]
    dtypes = [one.value for one in dtype or Dtype]
    engines: list[Engine] = ["eager"] if latency else []
    if latency and compile:
        engines.append("compiled")
    found = []
    for name, one in networks:
        costs = costs_of(name, one.net, size, conventions, dtypes)
        times = [_measure(one, size, engine, device, threads, runs) for engine in engines]
        found.append(replace(costs, latencies=tuple(t for t in times if t is not None)))
    if shares is not None:
        found[0] = found[0].with_shares(shares)
    for costs in found:
        for uncounted in costs.counts.uncounted:
            warn(f"{costs.model}: no formula for {uncounted}; it counts as 0 MACs")
        if json:
            show_json(costs.to_dict())
        else:
            show_profile(costs)
    if len(found) > 1 and not json:
        show_comparison(*found)
    if csv is not None:
        write_costs(csv, found)
    if plot is not None:
        write_figure(memory_figure(found, title_of(found, dtypes[0]), dtypes[0]), plot)


def _refuse_options(ctx: typer.Context, latency: bool, exits: Path | None, dial: bool) -> None:
    """Refuses options that have nothing to act on.

    Raises:
        ExeuntError: naming the first of them.
    """
    needed = {name: "--latency" for name in _OF_LATENCY if not latency}
    if exits is None:
        needed["policy"] = "--exits"
    for name, other in needed.items():
        source = ctx.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise ExeuntError(f"--{name} is for {other}; give that too")
    for name in _NOT_WITH_DIAL if dial else ():
        source = ctx.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise ExeuntError(f"--dial shows bytes against multiply-adds alone; leave --{name} out")


def _measure(
    network: Network, size: tuple[int, int], engine: Engine, device: str, threads: int, runs: int
) -> Latency | None:
    """Milliseconds; None, with a warning, where torch.compile fails."""
    from exeunt.compiled import CompileError
    from exeunt.profile import WARM_UP, measure_latency
    from exeunt.progress import Bar

    with Bar(f"latency, {engine}", WARM_UP + runs) as bar:
        try:
            return measure_latency(
                network.net,
                size,
                engine=engine,
                device=device,
                threads=threads,
                runs=runs,
                on_run=bar.advance,
            )
        except CompileError as error:
            warn(str(error))
            return None
