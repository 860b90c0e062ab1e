"""`exeunt profile`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.info import parse_size
from exeunt.cli.options import Convention, Device, Dtype, ImageSize, Json, OnePolicy
from exeunt.cli.render import show_json, warn
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from rich.progress import Progress

    from exeunt.cli.trained import Network
    from exeunt.profile import Engine, Latency, Profile, Shares

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
    image_size: ImageSize = None,
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
    from exeunt.cli.trained import Network
    from exeunt.device import usable_device
    from exeunt.report.canvas import check_figure, write_figure
    from exeunt.report.memory_figure import memory_figure

    _refuse_options(ctx, latency, exits, dial)
    if plot is not None:
        check_figure(plot)
    if latency:
        usable_device(device)
    network = Network.open(model)
    if dial:
        from exeunt.cli.dial import show_dial
        from exeunt.graph import build_graph

        graph = build_graph(
            network.net, parse_size(image_size) if image_size else network.image_size
        )
        show_dial(model, graph, [one.value for one in dtype or Dtype], plot, json)
        return
    shares = None if exits is None else _shares(network, model, exits, policy)
    networks = [(model, network)]
    if compare is not None:
        networks.append((compare, Network.open(compare)))
    size = parse_size(image_size) if image_size else network.image_size
    conventions = [one.value for one in convention or Convention]
    dtypes = [one.value for one in dtype or Dtype]
    engines: list[Engine] = ["eager"] if latency else []
    if latency and compile:
        engines.append("compiled")
    found = []
    with _progress() as bar:
        for name, one in networks:
            costs = _profile(bar, name, one, size, conventions, dtypes)
            times = [_measure(bar, one, size, engine, device, threads, runs) for engine in engines]
            found.append(replace(costs, latencies=tuple(t for t in times if t is not None)))
    if shares is not None:
        found[0] = found[0].with_shares(shares)
    for costs in found:
        for uncounted in costs.counts.uncounted:
            warn(f"{costs.model}: no formula for {uncounted}; it counts as 0 MACs")
        if json:
            show_json(costs.to_json())
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


def _shares(network: Network, model: str, file: Path, spec: str | None) -> Shares:
    """Where a recording's images leave.

    Raises:
        ExeuntError: when it is of another network, or there is no policy.
    """
    from exeunt.evaluate import load_table, replay, weights_fingerprint
    from exeunt.policies import parse_policy
    from exeunt.profile import Shares

    table = load_table(file)
    if network.info is not None and table.weights_fingerprint != weights_fingerprint(network.net):
        raise ExeuntError(f"{file} is a recording of other weights than those of {model}")
    if spec is None:
        if network.info is None:
            raise ExeuntError(f"{model} has no weights, so no policy either; give --policy")
        spec = network.info.policy
    if table.num_exits != network.net.num_exits:
        raise ExeuntError(
            f"{file} has {table.num_exits} exits, {model} has {network.net.num_exits}"
        )
    outcome = replay(table, parse_policy(spec))
    return Shares(spec, len(table), outcome.exit_shares)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal, which goes away at the end."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


def _profile(
    bar: Progress,
    name: str,
    network: Network,
    size: tuple[int, int],
    conventions: list[str],
    dtypes: list[str],
) -> Profile:
    from exeunt.profile import profile

    task = bar.add_task(name, total=1 + len(conventions) * len(dtypes))
    done = -1

    def show(part: str) -> None:
        nonlocal done
        done += 1
        bar.update(task, completed=done, description=f"{name}: {part}")

    found = profile(
        network.net, size, name=name, conventions=conventions, dtypes=dtypes, on_part=show
    )
    bar.remove_task(task)
    return found


def _measure(
    bar: Progress,
    network: Network,
    size: tuple[int, int],
    engine: Engine,
    device: str,
    threads: int,
    runs: int,
) -> Latency | None:
    """Milliseconds; None, with a warning, where torch.compile fails."""
    from exeunt.compiled import CompileError
    from exeunt.profile import WARM_UP, measure_latency

    task = bar.add_task(f"latency, {engine}", total=WARM_UP + runs)
    try:
        return measure_latency(
            network.net,
            size,
            engine=engine,
            device=device,
            threads=threads,
            runs=runs,
            on_run=lambda: bar.advance(task),
        )
    except CompileError as error:
        warn(str(error))
        return None
    finally:
        bar.remove_task(task)
