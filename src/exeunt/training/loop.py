"""Training: from labelled images to weights with a policy and honest figures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from PIL.Image import Image

from exeunt.calibrate import choose_policy
from exeunt.data import DataLike, as_data, dead_workers_named, open_source, train_loader
from exeunt.errors import ExeuntNote
from exeunt.evaluate import ExitTable, metrics_of
from exeunt.models import WeightsInfo, create_model, load_weights, save_weights
from exeunt.policies import Policy
from exeunt.training.aware import Aware
from exeunt.training.checkpoint import TrainState
from exeunt.training.config import TrainConfig
from exeunt.training.ema import Ema
from exeunt.training.epoch import train_epoch
from exeunt.training.execution import Execution
from exeunt.training.image_sizes import sizes_note
from exeunt.training.loggers import Loggers
from exeunt.training.losses import Criterion
from exeunt.training.metrics import calibration_columns, last_is_best
from exeunt.training.objects import qualified_name
from exeunt.training.optimiser import Optimisers
from exeunt.training.plan import Plan
from exeunt.training.regimes import Regime, make_regime
from exeunt.training.run import Run
from exeunt.training.start import refuse_other_split, start_from
from exeunt.training.stem import begin_stem
from exeunt.training.teacher import Teacher
from exeunt.training.units import Units


def train(
    config: TrainConfig,
    data: DataLike,
    out: str | Path,
    *,
    resume: bool = False,
    execution: Execution | None = None,
    regime: Callable[[TrainConfig, Sequence[int], Sequence[str]], Regime] | None = None,
    augment: Callable[[Image], Image] | None = None,
) -> WeightsInfo:
    """Trains a network on DATA and leaves a run folder (`exeunt.training.run.Run`).

    Every epoch ends with the averaged weights evaluated on the calibration split, in int8 if the
    run is aware of it, and the state saved; the weights with the best last exit are kept. At the
    end these get a policy, the largest saving within half a point of the last exit that the
    calibration split can show (`choose_policy`), and are evaluated once on the test split.
    Interrupted at any time, at most the current epoch is lost.

    Args:
        config: what to train, and how.
        data: as `exeunt.data.open_source` takes it.
        out: the run folder.
        resume: go on with the run in `out`; it ends as if it had never stopped.
        execution: where to run.
        regime: makes the regime, such as a subclass of `Regime`, in place of the config's. The
            config then names it, by its module and name; a run is resumed with the same.
        augment: done to every cropped image of the training split, likewise.

    Returns:
        The metadata of the folder's `best.safetensors`.

    Raises:
        ExeuntError: for data, settings or a run folder that cannot be used, more unreadable images
            than `config.allow_unreadable` lets pass, or a loss that is not finite.
    """
    execution = execution or Execution()
    data = as_data(data)
    if regime is not None:
        config = replace(config, regime=qualified_name(regime))
    if augment is not None:
        config = replace(config, augment=qualified_name(augment))
    source = open_source(data)
    plan = Plan.of(config, source, execution)
    processes = execution.processes
    units = Units.of(plan.splits.train)
    for role, weights in (("init", config.init), ("teacher", config.teacher)):
        if weights is not None:
            refuse_other_split(role, weights, plan.data, asdict(plan.spec))
    augmented, criterion = plan.augment(augment), _criterion(plan)
    logged = Loggers(execution.loggers if processes.rank == 0 else ())
    with Run(out) as run, _reproducible(config), dead_workers_named(), closing(logged):
        state, exit_macs = _fresh_state(plan)
        assert state.net.origin is not None
        plan = replace(plan, exit_macs=exit_macs, built=state.net.origin[1])
        lessons = make_regime(config, exit_macs, source.class_names, regime)
        run_record = plan.record() | {
            "images": str(data.absolute()) if isinstance(data, Path) else None
        }
        if processes.led(lambda: run.open(run_record, resume)):
            state.load(run.last, processes)
            if processes.rank == 0:
                run.write_metrics(state.history)  # a process may be killed after `last` alone
        loader = train_loader(
            units.learnt(plan.splits.train),
            augmented,
            batch_size=config.batch_size,
            seed=config.seed,
            workers=execution.workers,
            share=(processes.rank, processes.size),
        )
        tally = plan.tally("train")
        aware = Aware(plan, state.net) if config.quantize_aware else None
        execution.progress.data(source, plan.splits)
        execution.progress.start(config, plan.splits, state.epoch)
        logged.start(run_record, run.folder, state.epoch)
        while state.epoch < config.epochs:
            loader.set_epoch(state.epoch)
            torch.manual_seed(_dropout_seed(config.seed, state.epoch, processes.rank))
            trained = None if aware is None else aware.as_it_is_now()
            entry = train_epoch(
                state, loader, len(loader), config, lessons, tally, execution, trained, criterion
            )
            if "train_mae" in entry:
                entry["train_mae"] = [error * units.std for error in entry["train_mae"]]
            net = units.restored(state.ema.net)
            judged = net if aware is None else aware.in_integers(net)
            figures = plan.measure(judged, "calibration", metrics_of)
            state.history.append(entry | calibration_columns(figures))
            if processes.rank == 0:
                if last_is_best(state.history, lessons.complete):
                    info = plan.info({"calibration": figures})
                    save_weights(run.best, net.state_dict(), info)
                state.save(run.last)
                run.write_metrics(state.history)
            logged.epoch(state.history[-1])
            execution.progress.epoch(state.history[-1])
        info = _finish(plan, run)
        if processes.rank == 0:
            run.write_record(run_record | {"finished": True})
        logged.finish(info.metrics)
        execution.progress.finish(info, tally.reasons | plan.unreadable)
    return info


def _finish(plan: Plan, run: Run) -> WeightsInfo:
    """Gives the best weights their policy and figures, of the file as it is stored."""
    processes = plan.execution.processes
    net, _ = processes.led(lambda: load_weights(run.best))
    net = net.to(processes.device)
    policy, reason = plan.measure(net, "calibration", _choose)
    plan.execution.progress.chose(reason)
    figures = {
        split: plan.measure(net, split, lambda table: metrics_of(table, policy))
        for split in ("calibration", "test")
    }
    info = plan.info(figures, policy.spec)
    if processes.rank == 0:
        save_weights(run.best, net.state_dict(), info)
    return info


def _choose(table: ExitTable) -> tuple[Policy, str]:
    """The policy to store, and why this one."""
    choice = choose_policy(table)
    return choice.policy, str(choice)


def _criterion(plan: Plan) -> Criterion:
    config, weights = plan.config, plan.class_weights
    device = plan.execution.processes.device
    teacher = config.teacher and Teacher(
        config.teacher,
        plan.transform,
        plan.source.class_names,
        config.distil_share,
        config.distil_temperature,
        config.precision == "bfloat16",
    )
    return Criterion(
        config.label_smoothing, None if weights is None else weights.to(device), teacher or None
    )


def _fresh_state(plan: Plan) -> tuple[TrainState, tuple[int, ...]]:
    config = plan.config
    torch.manual_seed(config.seed)
    net = create_model(config.model, **plan.arguments)
    if config.init is not None:
        start_from(net, config.init, plan.source.class_names)
    exit_macs = tuple(info.macs for info in net.exit_info(config.image_size))
    notes = (
        sizes_note(net, config.train_size or config.image_size, config.image_size),
        begin_stem(plan, net),
    )
    for note in notes if plan.execution.processes.rank == 0 else ():
        if note is not None:
            warnings.warn(note, ExeuntNote, stacklevel=4)
    net = net.to(plan.execution.processes.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainState(net, Ema(net, config.ema_decay), Optimisers(net, config), []), exit_macs


def _dropout_seed(seed: int, epoch: int, rank: int) -> int:
    """Of an epoch's dropout at one process, on resuming too."""
    return (seed * 1_000_003 + epoch) * 65_537 + rank


@contextmanager
def _reproducible(config: TrainConfig) -> Iterator[None]:
    """Leaves the caller's random state and determinism flag as they were."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.use_deterministic_algorithms(config.deterministic)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
