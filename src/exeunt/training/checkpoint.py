"""The training state on disk, so that a killed run goes on where its last epoch ended.

One safetensors file, no pickle: the network, its moving average and what the optimisers remember
as tensors, and the history of the run as JSON. Random numbers need no state, since those of an
epoch derive from the seed and the epoch alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.models.weights import save_tensors
from exeunt.net import MultiExitNet
from exeunt.runner.document import parse_json
from exeunt.runner.schema import validated
from exeunt.training.ema import Ema
from exeunt.training.optimiser import Optimisers
from exeunt.training.processes import Processes

_HISTORY = list[dict[str, Any]]


@dataclass
class TrainState:
    """Everything that changes while training."""

    net: MultiExitNet
    ema: Ema
    optimisers: Optimisers
    history: list[dict[str, Any]]

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return len(self.history)

    def save(self, path: Path) -> None:
        """Writes the state, whole or not at all.

        Raises:
            ExeuntError: when it cannot be written; the state that stood at `path` still does.
        """
        tensors: dict[str, Tensor] = {}
        for prefix, module in (("net", self.net), ("ema", self.ema.net)):
            tensors |= {f"{prefix}.{name}": t for name, t in module.state_dict().items()}
        tensors |= {f"optimiser.{name}": t for name, t in self.optimisers.tensors().items()}
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        save_tensors(path, tensors, {"history": json.dumps(self.history)})

    def load(self, path: Path, processes: Processes) -> None:
        """Takes the state of a file that `save` wrote; the first process reads it for all.

        Raises:
            ExeuntError: when the file is damaged or is of another network.
        """
        tensors, history = processes.led(lambda: _read(path))
        try:
            for prefix, module in (("net", self.net), ("ema", self.ema.net)):
                start = prefix + "."
                module.load_state_dict(
                    {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
                )
        except RuntimeError as error:
            raise ExeuntError(f"{path}: not a checkpoint of this run ({error})") from error
        start = "optimiser."
        self.optimisers.load(
            {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        )
        self.history[:] = history


def _read(path: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, validated(parse_json(file.metadata()["history"]), _HISTORY, "history")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ExeuntError(f"{path}: not a checkpoint of this run ({error})") from error
