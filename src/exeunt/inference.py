"""Live inference: a batch goes through the stages and gets smaller as its rows leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from exeunt.errors import ExeuntError, expect
from exeunt.finite import require_finite_logits
from exeunt.net import unwrapped
from exeunt.policies import Memory, Policy, expect_policy

if TYPE_CHECKING:
    from torch.nn.parallel import DistributedDataParallel

    from exeunt.net import MultiExitNet

LogitSource: TypeAlias = Callable[[int, Tensor | None], Tensor]
"""`source(k, keep)`: logits (n K) of exit k. `keep` (n,) holds the positions, among the rows seen
at exit k-1, of those that go on; None means all of them."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a batch of N samples left with.

    Attributes:
        logits: Output of the exit that each sample took (N K).
        exit_index: That exit, counted from 0 (N, int64).
        rows: How many rows each of the E stages ran on; 0 for stages that never ran.
    """

    logits: Tensor
    exit_index: Tensor
    rows: tuple[int, ...]


def infer(
    model: MultiExitNet | DistributedDataParallel,
    x: Tensor,
    policy: Policy,
    names: Sequence[str] | None = None,
) -> Prediction:
    """Classifies a batch, running each stage only on the rows that are still in.

    Rows that leave are dropped from every tensor of the net's state and of the policy's memory.
    No stage runs once everyone has left, and at the last exit the policy is not asked.

    Args:
        model: A net in evaluation mode, or what `exeunt.net.unwrapped` finds one in.
        x: Images (N C H W), N >= 1, on the model's device.
        policy: Decides after each exit but the last which rows leave.
        names: Of the N images, for messages; they are counted otherwise.

    Raises:
        ExeuntError: The model is in training mode, the batch is empty, logits are not finite, or
            an argument is of another type.
    """
    expect("infer(model, x, policy)", "x", x, Tensor)
    expect_policy("infer(model, x, policy)", policy)
    net = unwrapped(model)
    if net.training:
        raise ExeuntError("the model is in training mode; call .eval() before inference")
    if len(x) == 0:
        raise ExeuntError(f"the batch is empty: x has shape {tuple(x.shape)}")
    with torch.inference_mode():
        state = net.begin(x)
        kept: list[Tensor] = []

        def name(row: int) -> str:
            for keep in reversed(kept):
                row = int(keep[row])
            return f"image {row + 1} of {len(x)}" if names is None else names[row]

        def run_stage(k: int, keep: Tensor | None) -> Tensor:
            nonlocal state
            if keep is not None:
                state = tuple(part[keep] for part in state)
                kept.append(keep)
            logits, state = net.step(k, state)
            require_finite_logits(logits, k, name)
            return logits

        return drive(policy, net.num_exits, run_stage)


def drive(policy: Policy, num_exits: int, source: LogitSource) -> Prediction:
    """Lets a policy take a batch from exit to exit; live nets and recorded logits share this.

    Args:
        policy: Asked at every exit but the last.
        num_exits: E; whoever is still in after E - 1 exits takes the last.
        source: Gives the logits of an exit, see `LogitSource`.
    """
    logits = source(0, None)
    waiting = torch.arange(len(logits), device=logits.device)
    taken, exit_index = torch.empty_like(logits), torch.full_like(waiting, num_exits - 1)
    rows = [0] * num_exits
    rows[0] = len(logits)
    memory: Memory = ()
    for k in range(num_exits - 1):
        leave, memory = policy.observe(k, logits, memory)
        taken[waiting[leave]] = logits[leave]
        exit_index[waiting[leave]] = k
        keep = None
        if leave.any():
            keep = (~leave).nonzero().squeeze(1)
            waiting, memory = waiting[keep], tuple(part[keep] for part in memory)
        if len(waiting) == 0:
            break
        logits = source(k + 1, keep)
        rows[k + 1] = len(logits)
    else:
        taken[waiting] = logits
    return Prediction(taken, exit_index, tuple(rows))
