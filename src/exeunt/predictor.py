"""Classifying images with early exit, by weights or by an exported folder of ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from exeunt.compiled import compile_stages, use_channels_last
from exeunt.data import ImageLike, load_image, open_image
from exeunt.errors import ExeuntError
from exeunt.export.onnx.reader import is_exported, open_folder
from exeunt.html import html_bars, html_facts
from exeunt.inference import infer
from exeunt.policies import Policy
from exeunt.runner import Prediction, RunnerError, StagedModel
from exeunt.text import figure, millions, percent, short_spec
from exeunt.trained import TrainedModel


@dataclass(frozen=True)
class Answer:
    """What a network says of one image, and where the image left.

    Attributes:
        label: the likeliest class; None for regression.
        probability: its, 0 to 1; None for regression.
        value: of regression; None for classification.
        exit: that the image took, counted from 1.
        exits: how many there are.
        macs: multiply-adds up to the exit taken.
        full_macs: up to the last exit.
        policy: spec of the policy.
        top: the likeliest classes with their probabilities, as many as were asked for.
        file: that the image came from, if it came from one.
    """

    label: str | None
    probability: float | None
    value: float | None
    exit: int
    exits: int
    macs: int
    full_macs: int
    policy: str
    top: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    file: str | None = None

    def _repr_html_(self) -> str:
        says = [("value", figure(self.value))] if self.value is not None else []
        says += [(name, percent(share)) for name, share in self.top]
        rows = [
            *([] if self.file is None else [("image", self.file)]),
            *says,
            ("left at", f"exit {self.exit} of {self.exits}, by {short_spec(self.policy)}"),
            ("saved", f"{percent(self.saving)} of {millions(self.full_macs)} multiply-adds"),
        ]
        names = [str(k) for k in range(1, self.exits + 1)]
        taken = f"exit {self.exit} of {self.exits}; those after it were not run"
        return html_facts(rows) + html_bars([0.5] * self.exits, names, taken, self.exit)

    @property
    def saving(self) -> float:
        """Share of the multiply-adds that were not needed, 0 to 1."""
        return 1 - self.macs / self.full_macs

    def to_dict(self) -> dict[str, Any]:
        """All of it under stable keys; what the task has not is absent."""
        says: dict[str, Any] = {"value": self.value}
        if self.label is not None:
            says = {"class": self.label, "probability": self.probability}
            if len(self.top) > 1:
                says["top"] = [{"class": name, "probability": share} for name, share in self.top]
        where = {} if self.file is None else {"file": self.file}
        return {
            **where,
            **says,
            "exit": self.exit,
            "exits": self.exits,
            "macs": self.macs,
            "full_macs": self.full_macs,
            "saving": self.saving,
            "policy": self.policy,
        }


class Predictor(Protocol):
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

    def run(self, images: list[Any], names: list[str] | None = None) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of the exits that the images take, and these, from 0, (N,).

        Raises:
            ExeuntError: when logits are not finite, naming the image.
        """
        ...


def open_predictor(
    model: str, policy: str | None, engine: str | None = None, compiled: bool = False
) -> Predictor:
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
    return TorchPredictor(trained, trained.policy(policy), compiled)


def answers(
    predictor: Predictor, images: Sequence[Any], top: int = 1, files: Sequence[Path] = ()
) -> list[Answer]:
    """Runs one batch and says of every image what it is and where it left.

    Args:
        predictor: a network with its policy.
        images: as `Predictor.load` gives them.
        top: classes to name, the likeliest first.
        files: that the images came from.

    Raises:
        ExeuntError: when there are fewer classes than `top`.
    """
    if top > (outputs := max(1, len(predictor.class_names))):
        raise ExeuntError(f"top={top}: the network has {outputs} output(s)")
    if not images:
        return []
    macs, found = predictor.exit_macs, []
    names = [str(file) for file in files] or None
    all_logits, exits = predictor.run(list(images), names)
    for n, (logits, k) in enumerate(zip(all_logits, exits.tolist(), strict=True)):
        label, probability, value = None, None, None
        ranked: tuple[tuple[str, float], ...] = ()
        if predictor.class_names:
            best = logits.softmax(dim=0).topk(top)
            names = [predictor.class_names[index] for index in best.indices.tolist()]
            ranked = tuple(zip(names, best.values.tolist(), strict=True))
            label, probability = ranked[0]
        else:
            value = logits.item()
        where = (k + 1, len(macs), macs[k], macs[-1], predictor.policy_spec)
        file = str(files[n]) if files else None
        found.append(Answer(label, probability, value, *where, ranked, file))
    return found


def predict(
    predictor: TorchPredictor, images: Sequence[ImageLike], top: int = 1, batch_size: int = 16
) -> list[Answer]:
    """Classifies images of any kind, in batches.

    Raises:
        ExeuntError: when an image cannot be read, or there are fewer classes than `top`.
    """
    found: list[Answer] = []
    for start in range(0, len(images), batch_size):
        chunk = images[start : start + batch_size]
        inputs = [predictor.trained.transform(open_image(image)) for image in chunk]
        files = [str(image) if isinstance(image, str | Path) else None for image in chunk]
        for answer, file in zip(answers(predictor, inputs, top), files, strict=True):
            found.append(replace(answer, file=file))
    return found


class TorchPredictor:
    """A network with weights and a policy, in this process."""

    def __init__(self, trained: TrainedModel, policy: Policy, compiled: bool = False) -> None:
        self.trained, self.policy = trained, policy
        self.net, self.compiled = use_channels_last(trained.net), compiled
        if compiled:
            height, width = trained.transform.image_size
            self.net = compile_stages(self.net, torch.zeros(1, self.net.in_chans, height, width))
        self.class_names = trained.info.class_names
        self.exit_macs, self.policy_spec = trained.exit_macs, policy.spec

    def load(self, file: Path) -> Tensor:
        return self.trained.transform(load_image(file))

    def run(self, images: list[Tensor], names: list[str] | None = None) -> tuple[Tensor, Tensor]:
        step = 1 if self.compiled else len(images)
        taken = []
        for n in range(0, len(images), step):
            some = None if names is None else names[n : n + step]
            taken.append(infer(self.net, torch.stack(images[n : n + step]), self.policy, some))
        logits, exits = [one.logits for one in taken], [one.exit_index for one in taken]
        return torch.cat(logits), torch.cat(exits)


class _Exported:
    def __init__(self, model: StagedModel) -> None:
        self.model = model
        self.class_names = list(self.model.class_names)
        self.exit_macs, self.policy_spec = self.model.exit_macs, self.model.policy.spec

    def load(self, file: Path) -> Any:
        return self.model.transform(load_image(file))

    def run(self, images: list[Any], names: list[str] | None = None) -> tuple[Tensor, Tensor]:
        try:
            taken: Prediction = self.model.predict(images, names)
        except RunnerError as error:
            raise ExeuntError(str(error)) from error
        return torch.from_numpy(taken.logits), torch.from_numpy(taken.exit_index)
