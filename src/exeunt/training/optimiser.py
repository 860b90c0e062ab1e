"""What moves the weights: SGD or AdamW, and recurrent cells by settings of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from exeunt.ops.recurrence import recurrent_parameters
from exeunt.training.config import TrainConfig


class Optimisers:
    """One optimiser, or one for the recurrent cells beside one for all else, that step together.

    Matrices and kernels decay; vectors (norms, biases) do not. Settings of cells that a run leaves
    open are those of all else.

    Args:
        net: whose parameters learn.
        config: of the run.
    """

    def __init__(self, net: nn.Module, config: TrainConfig) -> None:
        cells = {id(parameter) for parameter in recurrent_parameters(net)}
        parameters = dict(net.named_parameters())
        inside = [p for p in parameters.values() if id(p) in cells]
        outside = [p for p in parameters.values() if id(p) not in cells]
        kind = config.cell_optimizer or config.optimizer
        rate, decay = config.cell_lr, config.cell_weight_decay
        groups = {config.optimizer: _groups(outside, config.lr, config.weight_decay)}
        groups.setdefault(kind, []).extend(
            _groups(
                inside,
                config.lr if rate is None else rate,
                config.weight_decay if decay is None else decay,
            )
        )
        self.parts = [_make(kind, some, config) for kind, some in groups.items() if some]
        self._names: dict[Tensor, str] = {p: name for name, p in parameters.items()}

    def scale_rates(self, factor: float) -> None:
        """Sets every learning rate to `factor` of its peak."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak_lr"] * factor

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Moves all weights that have gradients."""
        for part in self.parts:
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """What the optimisers remember, by `KEY.PARAMETER`: momentum, moments, counts of steps."""
        return {
            f"{key}.{self._names[parameter]}": value
            for part in self.parts
            for parameter, state in part.state.items()
            for key, value in state.items()
            if value is not None
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Remembers what `tensors` gave; names of other networks are passed over."""
        for part in self.parts:
            mine = [p for group in part.param_groups for p in group["params"]]
            names = {self._names[parameter]: parameter for parameter in mine}
            for name, value in tensors.items():
                key, _, owner = name.partition(".")
                if owner in names:
                    parameter = names[owner]
                    if key != "step":  # laid out as the parameter is, which a fused step relies on
                        value = torch.empty_like(parameter, requires_grad=False).copy_(value)
                    part.state[parameter][key] = value


def _groups(parameters: Iterable[Tensor], lr: float, decay: float) -> list[dict[str, Any]]:
    matrices: list[Tensor] = []
    vectors: list[Tensor] = []
    for parameter in parameters:
        (matrices if parameter.dim() > 1 else vectors).append(parameter)
    return [
        {"params": some, "lr": lr, "peak_lr": lr, "weight_decay": share}
        for some, share in ((matrices, decay), (vectors, 0.0))
        if some
    ]


def _make(kind: str, groups: Sequence[dict[str, Any]], config: TrainConfig) -> Optimizer:
    if kind == "adamw":
        devices = {parameter.device.type for group in groups for parameter in group["params"]}
        fused = True if devices == {"cpu"} else None  # in one pass; elsewhere torch chooses
        return AdamW([*groups], betas=(config.momentum, config.beta2), fused=fused)
    return SGD([*groups], momentum=config.momentum, nesterov=config.momentum > 0)
