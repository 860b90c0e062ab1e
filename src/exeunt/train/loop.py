"""Training: from labelled images to weights with a policy and honest figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.optim import SGD

from exeunt.calibrate import choose_policy
from exeunt.data import (
    Augment,
    Source,
    Splits,
    SplitSpec,
    Transform,
    UnreadableTally,
    content_hash,
    fingerprint,
    make_splits,
    open_source,
    train_loader,
)
from exeunt.device import usable_device
from exeunt.evaluate import ExitTable, exit_rows, record_samples, replay
from exeunt.models import WeightsInfo, create_model, load_weights, save_weights
from exeunt.net import MultiExitNet
from exeunt.policies import Policy
from exeunt.train.checkpoint import TrainState
from exeunt.train.config import TrainConfig
from exeunt.train.ema import Ema
from exeunt.train.epoch import train_epoch
from exeunt.train.progress import Progress, Quiet
from exeunt.train.regimes import REGIMES
from exeunt.train.run import Run, versions
from exeunt.train.start import licence_of, refuse_other_split, start_from
from exeunt.train.units import Units


@dataclass(frozen=True)
class Setting:
    """How a run executes; nothing here changes what is computed, but for rounding.

    Attributes:
        device: `"cpu"`, `"cuda"`, ...
        workers: processes that load images; 0 loads in the training process.
        command: what the user typed, kept with the weights.
        progress: told of every step and epoch.
    """

    device: str = "cpu"
    workers: int = 0
    command: str = "exeunt.train.train(...)"
    progress: Progress = field(default_factory=Quiet)


def train(
    config: TrainConfig,
    data: str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    setting: Setting | None = None,
) -> WeightsInfo:
    """Trains a network on DATA and leaves a run folder (`exeunt.train.run.Run`).

    Every epoch ends with the averaged weights evaluated on the calibration split and the state
    saved; the weights with the best last exit are kept. At the end these get a policy, the largest
    saving within half a point of the last exit on the calibration split, and are evaluated once on
    the test split. Interrupted at any time, at most the current epoch is lost.

    Args:
        config: what to train, and how.
        data: as `exeunt.data.open_source` takes it.
        out: the run folder.
        resume: go on with the run in `out`; it ends as if it had never stopped.
        setting: where to run.

    Returns:
        The metadata of the folder's `best.safetensors`.

    Raises:
        ExeuntError: for data, settings or a run folder that cannot be used, more than 1 % of
            unreadable images, or a loss that is not finite.
    """
    setting = setting or Setting()
    source = open_source(data)
    plan = _Plan.of(config, source, setting)
    units = Units.of(plan.splits.train)
    if config.init is not None:
        refuse_other_split(config.init, plan.data, asdict(plan.spec))
    run = Run(out)
    with _reproducible(config):
        state, exit_macs = _fresh_state(plan)
        plan = replace(plan, exit_macs=exit_macs)
        regime = REGIMES[config.regime](config.epochs, exit_macs)
        run_record = plan.record()
        if run.open(run_record, resume):
            state.load(run.last)
        loader = train_loader(
            units.learnt(plan.splits.train),
            plan.augment,
            batch_size=config.batch_size,
            seed=config.seed,
            workers=setting.workers,
        )
        tally = UnreadableTally(len(plan.splits.train))
        setting.progress.start(config, plan.splits, state.epoch)
        while state.epoch < config.epochs:
            loader.set_epoch(state.epoch)
            torch.manual_seed(config.seed * 1_000_003 + state.epoch)  # dropout, also on resuming
            entry = train_epoch(state, loader, len(loader), config, regime, tally, setting.progress)
            if "train_mae" in entry:
                entry["train_mae"] = [error * units.std for error in entry["train_mae"]]
            net = units.restored(state.ema.net)
            table = plan.table(net, "calibration")
            state.history.append(entry | _columns(table))
            if _last_is_best(state.history):
                info = plan.info({"calibration": _figures(table)})
                save_weights(run.best, net.state_dict(), info)
            state.save(run.last)
            run.write_metrics(state.history)
            setting.progress.epoch(state.history[-1])
        info = _finish(plan, run)
        run.write_record(run_record | {"finished": True})
        setting.progress.finish(info, tally.names)
    return info


def _finish(plan: _Plan, run: Run) -> WeightsInfo:
    """Gives the best weights their policy and figures, of the file as it is stored."""
    net, _ = load_weights(run.best)
    net = net.to(plan.setting.device)
    policy = choose_policy(plan.table(net, "calibration")).policy
    figures = {split: _figures(plan.table(net, split), policy) for split in ("calibration", "test")}
    info = plan.info(figures, policy.spec)
    save_weights(run.best, net.state_dict(), info)
    return info


@dataclass(frozen=True)
class _Plan:
    """What is fixed before the first step."""

    config: TrainConfig
    source: Source
    setting: Setting
    spec: SplitSpec
    splits: Splits
    transform: Transform
    calibration_hashes: list[str]
    exit_macs: tuple[int, ...] = ()

    @classmethod
    def of(cls, config: TrainConfig, source: Source, setting: Setting) -> _Plan:
        spec = SplitSpec(
            config.seed, config.calibration_fraction, config.test_fraction, config.limit
        )
        splits = make_splits(source, spec)
        size = (config.image_size, config.image_size)
        transform = Transform(size, mode="L" if config.grey else "RGB")
        hashes = sorted({content_hash(sample.path) for sample in splits.calibration})
        return cls(config, source, setting, spec, splits, transform, hashes)

    @property
    def augment(self) -> Augment:
        size = self.config.train_size or self.config.image_size
        transform = replace(self.transform, image_size=(size, size))
        return Augment(transform, (self.config.crop_scale, 1.0), flip=self.config.flip)

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "num_classes": len(self.source.class_names) or 1,
            "in_chans": self.transform.channels,
            "exits": self.config.exit_places,
            **self.config.exit_heads,
            **self.config.model_args,
        }

    @cached_property
    def data(self) -> dict[str, str]:
        samples = [sample for pool in self.source.pools.values() for sample in pool]
        licence, init = self.config.data_licence, self.config.init
        return {
            "name": self.source.root.resolve().name,
            "fingerprint": fingerprint(samples),
            "licence": licence if init is None else licence_of(init, licence),
        }

    def record(self) -> dict[str, Any]:
        """What `run.json` says."""
        sizes = {name: len(self.splits[name]) for name in ("train", "calibration", "test")}
        return {
            "command": self.setting.command,
            "config": self.config.to_dict(),
            "data": self.data,
            "splits": sizes,
            "versions": versions(),
            "finished": False,
        }

    def table(self, net: MultiExitNet, split: str) -> ExitTable:
        """The logits of all exits on one split."""
        return record_samples(
            net,
            self.splits[split],
            self.transform,
            exit_macs=self.exit_macs,
            task=self.source.task,
            split=split,
            batch_size=self.config.batch_size,
            workers=self.setting.workers,
        )

    def info(self, metrics: dict[str, Any], policy: str = "full") -> WeightsInfo:
        """The metadata of a weights file of this run."""
        return WeightsInfo(
            architecture=self.config.model,
            arguments=self.arguments,
            task=self.source.task,
            class_names=list(self.source.class_names),
            transform=self.transform.to_dict(),
            policy=policy,
            metrics=metrics,
            split=asdict(self.spec),
            calibration_hashes=self.calibration_hashes,
            data=self.data,
            command=self.setting.command,
            versions=versions(),
            storage=self.config.storage,
        )


def _fresh_state(plan: _Plan) -> tuple[TrainState, tuple[int, ...]]:
    config = plan.config
    device = usable_device(plan.setting.device)
    torch.manual_seed(config.seed)
    net = create_model(config.model, **plan.arguments)
    if config.init is not None:
        start_from(net, config.init, plan.source.class_names)
    exit_macs = tuple(info.macs for info in net.exit_info(config.image_size))
    net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() <= 1]
    optimizer = SGD(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
    )
    return TrainState(net, Ema(net, config.ema_decay), optimizer, []), exit_macs


def _columns(table: ExitTable) -> dict[str, Any]:
    """The calibration columns of a row of `metrics.csv`."""
    exits = _figures(table)["exits"]
    return {f"calibration_{name}": [figures[name] for figures in exits] for name in exits[0]}


def _figures(table: ExitTable, policy: Policy | None = None) -> dict[str, Any]:
    """What the metadata says of one split: every exit, and the policy if there is one."""
    figures: dict[str, Any] = {
        "samples": len(table),
        "exits": [_scores(row) for row in exit_rows(table)],
    }
    if policy is not None:
        outcome = replay(table, policy)
        shares = [round(share, 6) for share in outcome.exit_shares]
        figures["policy"] = {
            "spec": policy.spec,
            **_scores(outcome),
            "saving": round(outcome.saving, 6),
            "exit_shares": shares,
        }
    return figures


def _scores(scored: Any) -> dict[str, float]:
    """Those of accuracy, MAE and RMSE that the task has."""
    found = {name: getattr(scored, name) for name in ("accuracy", "mae", "rmse")}
    return {name: round(value, 6) for name, value in found.items() if value is not None}


def _last_is_best(history: list[dict[str, Any]]) -> bool:
    """Whether the last exit has never been better on the calibration split than now."""
    if "calibration_accuracy" in history[-1]:
        last = [entry["calibration_accuracy"][-1] for entry in history]
        return bool(last[-1] >= max(last))
    last = [entry["calibration_mae"][-1] for entry in history]
    return bool(last[-1] <= min(last))


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
