"""What `exeunt predict` runs: a network with weights, or an exported folder of ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from exeunt.cli.exported import is_exported, open_folder
from exeunt.cli.trained import TrainedModel
from exeunt.compiled import compile_stages, lay_out
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

    def run(self, images: list[Any], names: list[str]) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of the exits that the images take, and these, from 0, (N,).

        Raises:
            ExeuntError: when logits are not finite, naming the image.
        """
        ...


def open_classifier(
    model: str, policy: str | None, engine: str | None = None, compiled: bool = False
) -> Classifier:
    """Opens MODEL with the policy of that spec, or with its own.

    Args:
        model: weights, or an exported folder.
        policy: spec.
        engine: that runs a folder.
        compiled: whether weights run in stages that `torch.compile` made.

    Raises:
        ExeuntError: when there is no such model or policy, or it is damaged.
    """
    if is_exported(model):
        if compiled:
            raise ExeuntError(f"--compile is for weights; {model} is an exported folder")
        return _Exported(open_folder(model, policy, engine=engine or "onnxruntime"))
    if engine is not None:
        raise ExeuntError(f"--engine {engine} is for exported ONNX folders; {model} is none")
    trained = TrainedModel.load(model)
    return _Torch(trained, trained.policy(policy), compiled)


class _Torch:
    def __init__(self, trained: TrainedModel, policy: Policy, compiled: bool) -> None:
        self.trained, self.policy = trained, policy
        self.net, self.compiled = lay_out(trained.net), compiled
        if compiled:
            height, width = trained.transform.image_size
            self.net = compile_stages(self.net, torch.zeros(1, self.net.in_chans, height, width))
        self.class_names = trained.info.class_names
        self.exit_macs, self.policy_spec = trained.exit_macs, policy.spec

    def load(self, file: Path) -> Tensor:
        return self.trained.transform(load_image(file))

    def run(self, images: list[Tensor], names: list[str]) -> tuple[Tensor, Tensor]:
        step = 1 if self.compiled else len(images)
        taken = [
            infer(self.net, torch.stack(images[n : n + step]), self.policy, names[n : n + step])
            for n in range(0, len(images), step)
        ]
        logits, exits = [one.logits for one in taken], [one.exit_index for one in taken]
        return torch.cat(logits), torch.cat(exits)


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

    def run(self, images: list[Any], names: list[str]) -> tuple[Tensor, Tensor]:
        try:
            taken: Prediction = self.model.predict(images, names)
        except RunnerError as error:
            raise ExeuntError(str(error)) from error
        return torch.from_numpy(taken.logits), torch.from_numpy(taken.exit_index)
