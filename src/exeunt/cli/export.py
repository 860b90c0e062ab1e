"""`exeunt export`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import BatchSize, Json, Limit, Split, Threads, Trained, Workers
from exeunt.cli.render import percent, short_spec, show_facts, show_json
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from exeunt.cli.trained import TrainedModel
    from exeunt.evaluate import ExitTable
    from exeunt.export.c import Numbers
    from exeunt.graph import Graph
    from exeunt.policies import Policy
    from exeunt.quantize import Range

_RANGE_IMAGES = 256


class Target(StrEnum):
    C = "c"


class Dtype(StrEnum):
    INT8 = "int8"
    FLOAT32 = "float32"


class Ranges(StrEnum):
    MSE = "mse"
    MINMAX = "minmax"


def export(
    model: Trained,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    target: Annotated[Target, typer.Option(help="c: a folder of C99.")] = Target.C,
    dtype: Annotated[Dtype, typer.Option(help="Numbers that the network runs on.")] = Dtype.INT8,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            show_default=False,
            help="Labelled images. On their calibration split int8 finds its ranges, and policies "
            "are chosen again.",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="Taken as it is; by default the stored one, its thresholds moved to where as "
            "many calibration images reach them.",
        ),
    ] = None,
    budget_fraction: Annotated[
        float | None,
        typer.Option(metavar="SHARE", show_default=False, help="As `exeunt calibrate` has it."),
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(metavar="SHARE", show_default=False, help="As `exeunt calibrate` has it."),
    ] = None,
    ranges: Annotated[Ranges, typer.Option(help="How int8 covers a tensor.")] = Ranges.MSE,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX", show_default=False, help="Of all names in C; DIR's by default."
        ),
    ] = None,
    budget_kib: Annotated[
        float | None,
        typer.Option(metavar="KIB", show_default=False, help="Refuse an arena that is larger."),
    ] = None,
    limit: Limit = None,
    batch_size: BatchSize = 8,
    workers: Workers = 0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Write a trained network for machines without Python.

    The folder holds C99 that runs row by row in one fixed arena, with weights, plan and policy, a
    program, a self-test and `report.json`. `exeunt verify` builds it and compares it with Python.
    """
    import torch

    from exeunt.cli.trained import TrainedModel
    from exeunt.evaluate import weights_fingerprint
    from exeunt.export.c import CModel, check_budget, write_c
    from exeunt.graph import build_graph, plan_stream

    if threads is not None:
        torch.set_num_threads(threads)
    trained = TrainedModel.load(model)
    wanted = _Wanted(policy, budget_fraction, max_accuracy_drop)
    if dtype is Dtype.INT8 and calibration is None:
        raise ExeuntError(
            "int8 finds its ranges on images: give --calibration DATA, or --dtype float32"
        )
    graph = build_graph(trained.net, trained.transform.image_size)
    plan = plan_stream(graph, 1 if dtype is Dtype.INT8 else 4)
    if budget_kib is not None:
        check_budget(plan, round(1024 * budget_kib))
    images = (
        None if calibration is None else _Images(trained, calibration, limit, batch_size, workers)
    )
    if dtype is Dtype.INT8:
        assert images is not None
        numbers, facts = _integers(trained, graph, images, wanted, ranges.value)
    else:
        numbers, facts = _floats(trained, images, wanted)
    made = CModel(
        name or _prefix(out),
        f"{model}, exits by {facts['policy']}",
        numbers,
        plan,
        trained.transform,
        trained.info.class_names,
        {"model": model, "fingerprint": weights_fingerprint(trained.net), **facts},
        trained.path,
    )
    report = write_c(made, out)
    if json:
        show_json({"kind": "exported", "folder": str(out), **report})
    else:
        _show(out, report)


@dataclass(frozen=True)
class _Wanted:
    """What policy is asked for; at most one of these."""

    policy: str | None
    budget_fraction: float | None
    max_accuracy_drop: float | None

    def __post_init__(self) -> None:
        asked = [name for name, value in vars(self).items() if value is not None]
        if len(asked) > 1:
            options = " and ".join("--" + name.replace("_", "-") for name in asked)
            raise ExeuntError(f"give one of {options}")

    def given(self, trained: TrainedModel) -> Policy:
        """The policy that needs no images.

        Raises:
            ExeuntError: when what is asked for does.
        """
        if self.budget_fraction is not None or self.max_accuracy_drop is not None:
            raise ExeuntError("a policy is chosen on images: give --calibration DATA")
        return trained.policy(self.policy)

    def reach(self, trained: TrainedModel, table: ExitTable, before: ExitTable) -> Policy:
        """The policy, chosen on what was recorded of the exported net.

        Args:
            trained: whose policy stands if nothing is asked for.
            table: of the calibration split, by the exported net.
            before: the same by the net in float32.
        """
        from exeunt.calibrate import match_policy
        from exeunt.cli.goal import Goal

        if all(value is None for value in vars(self).values()):
            return match_policy(trained.policy(None), before, table)
        goal = Goal(
            budget_fraction=self.budget_fraction,
            max_accuracy_drop=self.max_accuracy_drop,
            policy=self.policy,
        )
        chosen, _ = goal.reach(table)
        return chosen


class _Images:
    """Calibration images, and what a net says of them."""

    def __init__(
        self,
        trained: TrainedModel,
        data: Path,
        limit: int | None,
        batch_size: int,
        workers: int,
    ) -> None:
        from exeunt.cli.recording import open_labelled, pick

        self.trained, self.batch_size, self.workers = trained, batch_size, workers
        source = open_labelled(trained, data)
        self.samples = pick(trained, source, Split.CALIBRATION, limit)

    def record(self, trained: TrainedModel) -> ExitTable:
        """All exits of a net on all images."""
        from exeunt.cli.recording import record_split

        return record_split(
            trained,
            self.samples,
            Split.CALIBRATION,
            batch_size=self.batch_size,
            workers=self.workers,
        )

    def ranges(self, graph: Graph, method: str) -> dict[str, Range]:
        """How far the tensors of a graph reach on some of the images."""
        from exeunt.data import eval_loader, take
        from exeunt.quantize import observe_ranges

        seed = int(self.trained.info.split["seed"])
        some = take(self.samples, min(_RANGE_IMAGES, len(self.samples)), seed)
        loader: Any = eval_loader(some, self.trained.transform, batch_size=self.batch_size)
        return observe_ranges(graph, [batch.images for batch in loader if len(batch)], method)


def _integers(
    trained: TrainedModel, graph: Graph, images: _Images, wanted: _Wanted, method: str
) -> tuple[Numbers, dict[str, Any]]:
    """Quantises, chooses a policy for what comes out, and says how."""
    from exeunt.export.c import Int8
    from exeunt.quantize import IntegerPolicy, QuantizedNet, quantize

    ranges = images.ranges(graph, method)
    quantized = quantize(graph, ranges)
    net: Any = QuantizedNet(quantized)
    table = images.record(replace(trained, net=net))
    before = images.record(trained)
    policy = wanted.reach(trained, table, before)
    scales = [quantized.logit_scale(k) for k in range(len(graph.stages))]
    leaving = IntegerPolicy.of(policy, scales)
    facts = {
        "policy": policy.spec,
        "integer_policy": asdict(leaving),
        "ranges": {name: [reach.low, reach.high] for name, reach in ranges.items()},
        "calibration": _calibration(table, policy, before),
    }
    return Int8(quantized, leaving), facts


def _floats(
    trained: TrainedModel, images: _Images | None, wanted: _Wanted
) -> tuple[Numbers, dict[str, Any]]:
    from exeunt.export.c import Float32

    calibration: dict[str, Any] = {}
    if images is None:
        policy = wanted.given(trained)
    else:
        table = images.record(trained)
        policy = wanted.reach(trained, table, table)
        calibration = _calibration(table, policy, table)
    facts = {"policy": policy.spec, "integer_policy": {}, "ranges": {}, "calibration": calibration}
    return Float32(policy), facts


def _calibration(table: ExitTable, policy: Policy, before: ExitTable) -> dict[str, Any]:
    """What the exported net and its policy do on the calibration split."""
    from exeunt.evaluate import exit_rows, replay

    outcome = replay(table, policy)
    agree = (table.logits.argmax(2) == before.logits.argmax(2)).double().mean(1)
    return {
        "images": len(table),
        "exit_accuracy": [row.accuracy for row in exit_rows(table)],
        "exit_accuracy_float32": [row.accuracy for row in exit_rows(before)],
        "exit_agreement": agree.tolist(),
        "accuracy": outcome.accuracy,
        "saving": outcome.saving,
    }


def _prefix(out: Path) -> str:
    """A prefix of the folder's name, or what is nearest to it."""
    kept = re.sub(r"[^a-z0-9_]+", "_", out.resolve().name.lower()).strip("_")
    return kept if kept[:1].isalpha() else f"net_{kept}".rstrip("_")


def _show(out: Path, report: dict[str, Any]) -> None:
    memory = report["memory"]
    facts = [
        ("written", f"{out} ({report['dtype']}, names begin with {report['name']}_)"),
        (
            "arena",
            f"{memory['arena_bytes']} bytes ({memory['arena_bytes'] / 1024:.1f} KiB), "
            f"{memory['row_window_bytes']} of them rows of the image; "
            f"no order of these rows needs less than {memory['bound_bytes']}",
        ),
        ("constants", f"{report['flash']['constants_bytes']} bytes"),
        ("policy", short_spec(report["policy"])),
    ]
    found = report["calibration"]
    if found:
        facts += [
            ("calibration", f"{found['images']} images"),
            ("  accuracy", f"{percent(found['accuracy'])}, saving {percent(found['saving'])}"),
            ("  by exit", ", ".join(map(percent, found["exit_accuracy"]))),
        ]
        if report["dtype"] == "int8":
            facts += [
                ("  in float32", ", ".join(map(percent, found["exit_accuracy_float32"]))),
                ("  same class", ", ".join(map(percent, found["exit_agreement"]))),
            ]
    facts.append(("verify it with", f"exeunt verify {out} --images DATA"))
    show_facts(facts)
