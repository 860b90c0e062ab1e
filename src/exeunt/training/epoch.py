"""One epoch: what happens to every batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exeunt.data import Batch, UnreadableTally
from exeunt.errors import ExeuntError
from exeunt.quantize import QuantizationAware
from exeunt.training.checkpoint import TrainState
from exeunt.training.config import TrainConfig
from exeunt.training.equilibrium import gradient_equilibrium
from exeunt.training.execution import Execution
from exeunt.training.losses import Criterion, auxiliary_loss
from exeunt.training.mixing import Targets, mix
from exeunt.training.regimes import Pass, Regime
from exeunt.training.schedule import warmup_cosine

_NORM_BATCHES = 8  # that the averaged weights measure their batch norms on


def train_epoch(
    state: TrainState,
    batches: Iterable[Batch],
    steps: int,
    config: TrainConfig,
    regime: Regime,
    tally: UnreadableTally,
    execution: Execution,
    aware: QuantizationAware | None = None,
    criterion: Criterion | None = None,
) -> dict[str, Any]:
    """Passes once over the train split.

    Args:
        state: moved on by one epoch's steps; its history is left alone.
        batches: of this epoch, this process's share of each.
        steps: how many batches an epoch has.
        config: of the run.
        regime: says what learns, and what the losses come to.
        tally: told of unreadable images.
        execution: whose processes take every step together, and whose progress is told of it.
        aware: runs the net of the state as int8 would have it, instead of itself; batch norms then
            keep their statistics.
        criterion: the loss of every exit; by default of the config's label smoothing alone.

    Returns:
        The epoch's row of `metrics.csv`: epoch, seconds, the share of them that was spent waiting
        for images, the last learning rate, and for every exit the mean loss and accuracy (or
        absolute error) on the augmented images of all processes, in the units of the targets. The
        accuracy on mixed images is that for what they show most of. And what the regime adds.

    Raises:
        ExeuntError: when a loss is not finite, or no batch has two readable images.
    """
    started = time.monotonic()
    net = state.net
    criterion = criterion or Criterion(config.label_smoothing)
    regime.prepare(net, state.epoch)
    if aware is not None:
        net.eval()
    processes = execution.processes
    joined = processes.joined(aware or net)
    first, end = regime.span(state.epoch)
    warmup = round(min(config.warmup_epochs, (end - first) / 5) * steps)
    totals, images, rate = np.zeros((2, net.num_exits)), 0, 0.0
    recent: deque[Tensor] = deque(maxlen=_NORM_BATCHES * processes.size)
    supply = _Timed(batches)
    for i, batch in enumerate(supply):
        tally.add(batch)
        shares = processes.sum(np.eye(processes.size)[processes.rank] * len(batch))
        if shares.min() < 2:  # batch norm needs company
            continue
        step = state.epoch * steps + i
        factor = warmup_cosine(step - first * steps, (end - first) * steps, warmup)
        state.optimisers.scale_rates(factor)
        rate = config.lr * factor
        batch = batch.to(processes.device)
        recent.append(batch.images)  # not mixed, as those to be judged are not
        draws = np.random.default_rng((config.seed, state.epoch, i, processes.rank + 1))
        mixed, targets = mix(batch.images, batch.targets, config, draws)
        weight = len(batch) / shares.mean()
        losses, scores = train_step(
            state, mixed, targets, config, regime, joined, criterion, weight
        )
        state.ema.update(net, step)
        _require_finite(losses, state.epoch, i, rate)
        totals += np.stack([losses, scores]) * len(batch)
        images += len(batch)
        execution.progress.step(state.epoch, i, steps, *(totals / images))
    totals, images = processes.sum(totals), processes.sum(np.array(images)).item()
    unreadable = processes.collect(tally.reasons)
    processes.led(lambda: tally.include(*unreadable))
    if images == 0:
        raise ExeuntError("no batch of two readable images: there is nothing to train on")
    state.ema.measure_norms(net, recent)
    state.ema.net.load_state_dict(processes.led(state.ema.net.state_dict))
    loss, score = (totals / images).round(6).tolist()
    seconds = time.monotonic() - started
    return {
        "epoch": state.epoch + 1,
        "seconds": round(seconds, 1),
        "data_wait": round(supply.waited / seconds, 4),
        "lr": rate,
        "train_loss": loss,
        "train_mae" if net.num_classes == 1 else "train_accuracy": score,
        **regime.columns(processes.sum),
    }


class _Timed:
    """Batches, and the seconds that were spent waiting for them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches
        self.waited = 0.0

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self.batches)
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - asked
            if batch is None:
                return
            yield batch


def train_step(
    state: TrainState,
    images: Tensor,
    targets: Targets,
    config: TrainConfig,
    regime: Regime,
    net: nn.Module,
    criterion: Criterion,
    weight: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One optimiser step; returns loss and accuracy (or absolute error) of every exit, (E,).

    Args:
        state: moved on.
        images: this process's share of the step's, (N, C, H, W).
        targets: what they show.
        config: of the run.
        regime: says what the losses come to.
        net: the state's, as the processes joined it.
        criterion: the loss of every exit.
        weight: this share's size, relative to the mean one.
    """
    images = images.contiguous(memory_format=torch.channels_last)
    half = config.precision == "bfloat16"
    balance = gradient_equilibrium if config.gradient_equilibrium else nullcontext
    with balance(state.net), torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        logits = net(images)
    losses = criterion(images, logits, targets)
    state.optimisers.zero_grad()
    seen = Pass(images, logits, losses, state.epoch, targets)
    loss = regime.loss(seen) + auxiliary_loss(state.net)
    (loss * weight).backward()  # type: ignore[no-untyped-call]
    if config.clip_norm:
        torch.nn.utils.clip_grad_norm_(state.net.parameters(), config.clip_norm)
    state.optimisers.step()
    scores = torch.stack([_score(out.detach(), targets.dominant) for out in logits])
    return losses.detach().cpu().numpy(), scores.cpu().numpy()


def _score(logits: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return (logits[:, 0].float() - targets).abs().mean()
    return (logits.argmax(dim=1) == targets).float().mean()


def _require_finite(losses: np.ndarray, epoch: int, batch: int, rate: float) -> None:
    if not np.isfinite(losses).all():
        exit_index = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise ExeuntError(
            f"the loss of exit {exit_index + 1} became {losses[exit_index]} in epoch {epoch + 1}, "
            f"batch {batch + 1}, at a learning rate of {rate:.3g}; a smaller lr or a longer "
            "warm-up helps. The state after the last complete epoch is kept"
        )
