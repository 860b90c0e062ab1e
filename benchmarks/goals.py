"""The speed that was aimed at, as ratios within one run, and by how much each is met or missed.

    python benchmarks/goals.py [--image-size 224] [--runs 100] [--profile]
    python benchmarks/goals.py --engines onnxruntime --dtypes float32 --clock processor

One thread, batch 1; everything takes turns, so that a busy machine slows all of it, and the least
time counts. ReX has each of its forms (`docs/rex.md`). Networks have 1000 classes and random
weights; images leave where the calibration images of
rex_mobilenetv2_075.imagenette leave it, by the policy it ships with, which loses at most half a
point there. `--profile` adds what operators take in onnxruntime. Fewer networks, engines or types
take less time, and say less. `--clock processor` counts the time that this process had, for a
machine so busy that nothing ever runs through.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path

import onnxruntime
import torch
from rex_layer import in_torch, per_patch, timed

from exeunt.bench import ENGINES, Opened, Timing, measure
from exeunt.bench.candidates import BenchOptions, Candidate, candidate
from exeunt.bench.check import open_checked
from exeunt.export.onnx import OnnxModel, write_onnx
from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.int8 import recurrent_modules
from exeunt.export.onnx.rex import write_rex
from exeunt.models.mobilenetv2 import rex_mobilenetv2
from exeunt.models.registry import register_model
from exeunt.native import in_use, native, using
from exeunt.ops.rex import ReX2d
from exeunt.ops.rex_block import REX_FORMS
from exeunt.policies import Full
from exeunt.runner.engine import OnnxRuntime

Clock = Callable[[], float]

TRAINED = "rex_mobilenetv2_075.imagenette"
FORMS = {f"rex_mobilenetv2_{form}": form for form in REX_FORMS}
PAPER, *OTHERS = FORMS
NETS = ("mobilenetv2", *FORMS)
ENGINES_TIMED, DTYPES = ("onnxruntime", "c"), ("float32", "int8")
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}
# of plain mobilenetv2's time: all exits on the way, and when images leave; with kernels, without
GOALS = {
    PAPER: ((0.95, 0.65), (0.95, 0.65)),
    **dict.fromkeys(OTHERS, ((0.85, 0.45), (1.0, 0.65))),
}


@cache
def register_forms() -> None:
    """Gives all forms of ReX a name each, once, whatever form networks have by default."""
    for name, form in FORMS.items():
        register_model(partial(rex_mobilenetv2, rex_form=form), name=name)


def layer(repeats: int, clock: Clock) -> list[str]:
    """ReX alone, 32 to 64 channels, 6x6, stride 4, on 112x112, against patch by patch with GRU."""
    torch.manual_seed(0)
    x = torch.randn(1, 32, 112, 112)
    of = {cell: ReX2d(32, 16, 8, 6, 4, cell=cell).eval() for cell in ("gru", "mingru")}
    forms: dict[str, Callable[[], object]] = {
        "GRU per patch, torch": partial(per_patch, of["gru"], x)
    }
    goals: dict[str, float] = {}
    for (cell, rex), most in zip(of.items(), (10, 20), strict=True):
        name = {"gru": "GRU", "mingru": "minGRU"}[cell]
        standard, kernels = f"{name}, standard operators", f"{name}, kernels, {in_use()}"
        forms[f"{name} shared, torch"] = partial(in_torch, rex, x)
        forms[standard] = partial(_session(rex, x).run, {"x": x.numpy()})
        goals[standard] = 4
        if native() is not None:
            forms[kernels] = partial(rex, x)
            goals[kernels] = most
    with torch.no_grad():
        times = timed([partial(_run, form) for form in forms.values()], repeats, clock)
    print(f"\n{'ReX 32 to 64 on 112x112':44}{'min / median ms':>18}{'faster':>16}")
    faster = {}
    for name, mine in zip(forms, times, strict=True):
        low, median = (before / now for before, now in zip(times[0], mine, strict=True))
        faster[name] = {"minima": low, "medians": median}
        print(f"{name:44}{mine[0]:9.2f} /{mine[1]:7.2f}{low:8.1f}x/{median:5.1f}x")
    return [
        _verdict(f"ReX, {name}: times as fast as GRU per patch, {by}", found, goal, least=True)
        for name, goal in goals.items()
        for by, found in faster[name].items()
    ]


def _session(rex: ReX2d, x: torch.Tensor) -> OnnxRuntime:
    shapes = {"x": tuple(x.shape[1:]), "y": tuple(rex(x).shape[1:])}
    build = Builder()
    write_rex(build, rex, "x", shapes["x"], "y")
    return OnnxRuntime(build.model("rex", ("x",), ("y",), shapes, {}).SerializeToString(), 1)


def _run(form: Callable[[], object]) -> None:
    form()


def networks(
    size: int,
    runs: int,
    place: Path,
    asked: tuple[Sequence[str], Sequence[str], Sequence[str]],
    clock: Clock,
) -> tuple[list[str], dict[str, Timing]]:
    """The networks, with their exits and the last one alone, in onnxruntime and in C.

    `asked` are networks, engines and types.
    """
    nets, engines, dtypes = asked
    of = BenchOptions((size, size), 1, None, None, TRAINED, None)
    found: dict[str, tuple[Candidate, Opened]] = {}
    for net in nets:
        for single in (True, False):
            one = candidate(net, of, single)
            name = f"{net}, {'last exit alone' if single else 'six exits'}"
            for engine, dtype in product(engines, dtypes):
                where = place / f"{len(found)}"
                where.mkdir()
                opened = open_checked(ENGINES[engine], one.workload, dtype, 1, where)
                found[f"{name}: {engine}, {dtype}"] = one, opened
            apart = net.startswith("rex") and native() is not None and "onnxruntime" in engines
            for dtype in dtypes if apart else ():
                where = place / f"{len(found)}"
                where.mkdir()
                with using("0"):
                    opened = open_checked(ENGINES["onnxruntime"], one.workload, dtype, 1, where)
                found[f"{name}: onnxruntime, {dtype}, no kernels"] = one, opened
    shares = [one.shares.shares if one.shares else (1.0,) for one, _ in found.values()]
    exits = [one.workload.net.num_exits for one, _ in found.values()]
    pairs = [(opened, count) for (_, opened), count in zip(found.values(), exits, strict=True)]
    timings = measure(pairs, [[0]] * len(pairs), runs=runs, batch_runs=1, clock=clock)
    base = timings[0].low_ms[-1]
    print(f"\n{f'{size}x{size}, 1000 classes':62}{'last exit':>10}{'mean ms':>9}{'of first':>10}")
    cost: dict[str, tuple[float, float]] = {}
    for name, timing, mine in zip(found, timings, shares, strict=True):
        last, mean = timing.low_ms[-1], timing.mean_ms(mine)
        cost[name] = last, mean
        print(f"{name:62}{last:10.2f}{mean:9.2f}{mean / base:10.2f}")
    verdicts = []
    for net, (which, kernels) in product(GOALS, enumerate(("", ", no kernels"))):
        rex = f"{net}, {{}}: onnxruntime, float32" + kernels
        if rex.format("six exits") not in cost or nets[0] != NETS[0]:
            continue
        full, _ = cost[rex.format("last exit alone")]
        through, mean = cost[rex.format("six exits")]
        most, leaving = GOALS[net][which]
        name = f"{net}{kernels}, of plain mobilenetv2 in onnxruntime"
        verdicts += [
            _verdict(f"{name}: full depth, last exit alone", full / base, most),
            _verdict(f"{name}: full depth, all exits on the way", through / base, most),
            _verdict(f"{name}: with exits", mean / base, leaving),
        ]
    for net, dtype, kernels in product(NETS, DTYPES, ("", ", no kernels")):
        ours = f"{net}, last exit alone: c, {dtype}"
        theirs = f"{net}, last exit alone: onnxruntime, {dtype}{kernels}"
        if ours in cost and theirs in cost:
            name = f"{net}, {dtype}: generated C, of onnxruntime{kernels}"
            verdicts.append(_verdict(name, cost[ours][0] / cost[theirs][0], 3))
    return verdicts, dict(zip(found, timings, strict=True))


def _verdict(what: str, found: float, goal: float, least: bool = False) -> str:
    met = found >= goal if least else found <= goal
    sign = "at least" if least else "at most"
    by = abs(found / goal - 1)
    return f"{what}: {found:.2f}, goal {sign} {goal}: {'met' if met else 'MISSED'} by {by:.0%}"


def operators(size: int, runs: int) -> None:
    """What kinds of operators take in onnxruntime, by its own profiler."""
    asked = BenchOptions((size, size), 1, None, None, TRAINED, None)
    for net in NETS:
        workload = candidate(net, asked, single=True).workload
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "net")
            made = OnnxModel(
                net, workload.graph, workload.transform, workload.class_names, Full(), "measured"
            )
            write_onnx(made, folder)
            rex = tuple(recurrent_modules(workload.graph))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.enable_profiling = 1, True
            options.profile_file_prefix = str(Path(place, "profile"))
            file = str(folder / "stage_1.onnx")
            session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
            image = {session.get_inputs()[0].name: workload.inputs[:1].numpy()}
            for _ in range(runs):
                session.run(None, image)
            events = json.loads(Path(session.end_profiling()).read_text())
        spent: dict[str, float] = defaultdict(float)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
                inside = event["name"].startswith(rex)
                kind = "ReX" if inside else event["args"]["op_name"]
                spent[kind] += event["dur"] / 1e3 / runs
        total = sum(spent.values())
        parts = sorted(spent.items(), key=lambda part: -part[1])[:8]
        said = ", ".join(f"{kind} {ms:.2f} ({ms / total:.0%})" for kind, ms in parts)
        print(f"{net}, milliseconds by operator, profiler on, mean: {said}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--nets", default=",".join(NETS), help="separated by commas")
    parser.add_argument("--engines", default=",".join(ENGINES_TIMED), help="separated by commas")
    parser.add_argument("--dtypes", default=",".join(DTYPES), help="separated by commas")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    register_forms()
    start = time.time()
    clock = CLOCKS[options.clock]
    verdicts = layer(options.runs, clock)
    with tempfile.TemporaryDirectory() as place:
        nets, engines, dtypes = (
            words.split(",") for words in (options.nets, options.engines, options.dtypes)
        )
        more, _ = networks(
            options.image_size, options.runs, Path(place), (nets, engines, dtypes), clock
        )
    print()
    for verdict in verdicts + more:
        print(verdict)
    if options.profile:
        operators(options.image_size, options.runs)
    print(f"{time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
