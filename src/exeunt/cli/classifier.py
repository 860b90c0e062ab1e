"""What `exeunt predict` runs: a network with weights, or an exported folder of ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from exeunt.cli.exported import is_exported, open_folder
from exeunt.cli.trained import TrainedModel
from exeunt.data import UnreadableImage, load_image
from exeunt.errors import ExeuntError
from exeunt.inference import infer
from exeunt.policies import Policy
from exeunt.runner import Prediction, RunnerError, StagedModel


class Classifier(Protocol):
    """A network with a policy.

    Attributes:
        class_names: K of them; empty where the network gives a value.
        exit_macs: cumulative multiply-adds of each exit.
        policy_spec: of the policy.
    """

    @property
    def class_names(self) -> list[str]: ...

    @property
    def exit_macs(self) -> tuple[int, ...]: ...

    @property
    def policy_spec(self) -> str: ...

    def load(self, file: Path) -> Any:
        """An image as the network takes it, (C, H, W).

        Raises:
            UnreadableImage: when it cannot be decoded.
        """
        ...

    def run(self, images: list[Any]) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of the exits that the images take, and these, from 0, (N,)."""
        ...


def open_classifier(model: str, policy: str | None, engine: str | None = None) -> Classifier:
    """Opens MODEL with the policy of that spec, or with its own.

    Args:
        model: weights, or an exported folder.
        policy: spec.
        engine: that runs a folder.

    Raises:
        ExeuntError: when there is no such model or policy, or it is damaged.
    """
    if is_exported(model):
        return _Exported(open_folder(model, policy, engine=engine or "onnxruntime"))
    if engine is not None:
        raise ExeuntError(f"--engine {engine} is for exported ONNX folders; {model} is none")
    trained = TrainedModel.load(model)
    return _Torch(trained, trained.policy(policy))


class _Torch:
    def __init__(self, trained: TrainedModel, policy: Policy) -> None:
        self.trained, self.policy = trained, policy
        self.class_names = trained.info.class_names
        self.exit_macs, self.policy_spec = trained.exit_macs, policy.spec

    def load(self, file: Path) -> Tensor:
        return self.trained.transform(load_image(file))

    def run(self, images: list[Tensor]) -> tuple[Tensor, Tensor]:
        taken = infer(self.trained.net, torch.stack(images), self.policy)
        return taken.logits, taken.exit_index


class _Exported:
    def __init__(self, model: StagedModel) -> None:
        self.model = model
        self.class_names = list(self.model.class_names)
        self.exit_macs, self.policy_spec = self.model.exit_macs, self.model.policy.spec

    def load(self, file: Path) -> Any:
        try:
            return self.model.load(file)
        except RunnerError as error:
            raise UnreadableImage(str(error)) from error

    def run(self, images: list[Any]) -> tuple[Tensor, Tensor]:
        try:
            taken: Prediction = self.model.predict(images)
        except RunnerError as error:
            raise ExeuntError(str(error)) from error
        return torch.from_numpy(taken.logits), torch.from_numpy(taken.exit_index)
