"""Photographs, where they left, and what every exit says of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from exeunt.data import UnreadableImage, load_image
from exeunt.errors import ExeuntWarning
from exeunt.inference import infer
from exeunt.policies import Policy
from exeunt.report.exits_figure import ClassifiedImage
from exeunt.text import figure
from exeunt.trained import TrainedModel


def classify_images(
    trained: TrainedModel, named: Sequence[tuple[Path, str | None]], policy: Policy
) -> list[ClassifiedImage]:
    """Classifies images with early exit; then runs all exits, to show what the later ones say."""
    class_names = trained.info.class_names
    shots = []
    for file, expected in named:
        try:
            image = trained.transform.prepare(load_image(file))
        except UnreadableImage as error:
            warnings.warn(str(error), ExeuntWarning, stacklevel=2)
            continue
        x = trained.transform(image).unsqueeze(0)
        exit_index = int(infer(trained.net, x, policy).exit_index)
        with torch.inference_mode():
            logits = torch.cat(trained.net(x))
        answers: list[str]
        confidences: list[float] = []
        if class_names:
            best = logits.softmax(dim=1).max(dim=1)
            answers = [class_names[index] for index in best.indices.tolist()]
            confidences = best.values.tolist()
        else:
            answers = [figure(value) for value in logits[:, 0].tolist()]
        known = expected if expected in class_names else None
        shots.append(
            ClassifiedImage(file.stem, image, tuple(answers), tuple(confidences), exit_index, known)
        )
    return shots
