"""A folder's answers beside PyTorch's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.export.onnx.single_run import SingleGraph
from exeunt.inference import infer
from exeunt.net import MultiExitNet
from exeunt.policies import parse_policy
from exeunt.runner import StagedModel

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        images: how many were compared, N.
        largest_difference: between two scores of the same class, exit and image.
        same: share of images that left with the same class, at the same exit.
        exit_agreement: share of images to which an exit gives the same class (E).
        borderline: names of images that left elsewhere or with another class although all scores
            are within `TOLERANCE`: they stand on the edge.
        classes: of every exit of the folder (E N).
        exit_index: where each image left (N).
        class_index: and with which class (N).
        single_same: share of images that leave there with that class by `net.onnx` too; None where
            there is none.
    """

    images: int
    largest_difference: float
    same: float
    exit_agreement: list[float]
    borderline: list[str]
    classes: Tensor
    exit_index: Tensor
    class_index: Tensor
    single_same: float | None


def compare_onnx(
    model: StagedModel,
    net: MultiExitNet,
    batches: Iterable[tuple[list[str], Tensor]],
    single: SingleGraph | None = None,
) -> Comparison:
    """Runs the folder, all exits and with its policy, and the network with the same policy.

    Scores of a folder in float32 must be within `TOLERANCE` of the largest score of their exit, or
    of 1 if that is less; in int8 nothing is asked.

    Args:
        model: the folder.
        net: what it was made of, in evaluation mode.
        batches: names and images (N, C, H, W), at least one.
        single: `net.onnx` of the folder, held to the same.

    Raises:
        ExeuntError: at the first score that is too far off, naming image and exit.
    """
    exact = model.manifest["dtype"] == "float32"
    policy = parse_policy(model.policy.spec)
    parts, borderline, largest = [], [], 0.0
    by_single: list[bool] = []
    for names, images in batches:
        with torch.inference_mode():
            expected = torch.stack(net(images))
        scores = torch.from_numpy(model.forward(images.numpy()))
        off = (scores - expected).abs().amax(2)
        largest = max(largest, float(off.max()))
        if exact:
            _check(off, expected, names)
        found, wanted = model.predict(images.numpy()), infer(net, images, policy)
        left, taken = torch.from_numpy(found.exit_index), torch.from_numpy(found.class_index)
        same = (left == wanted.exit_index) & (taken == wanted.logits.argmax(1))
        if exact:
            borderline += [
                name for name, is_same in zip(names, same.tolist(), strict=True) if not is_same
            ]
        if single is not None:
            exits, chosen, apart = _alone(single, images, expected)
            if exact:
                _check(apart, expected, [f"{name} by one graph" for name in names])
            by_single += ((exits == left) & (chosen == taken)).tolist()
        classes = scores.argmax(2)
        parts.append((classes, classes == expected.argmax(2), left, taken, same))
    classes, agree, left, taken, same = (torch.cat(one, -1) for one in zip(*parts, strict=True))
    return Comparison(
        images=len(same),
        largest_difference=largest,
        same=float(same.double().mean()),
        exit_agreement=agree.double().mean(1).tolist(),
        borderline=borderline,
        classes=classes,
        exit_index=left,
        class_index=taken,
        single_same=sum(by_single) / len(by_single) if single is not None else None,
    )


def _alone(single: SingleGraph, images: Tensor, expected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Exits (N) and classes (N) by one graph, and how far its scores are off there (E N)."""
    found = [single.run(image) for image in images.numpy()]
    logits = torch.stack([torch.from_numpy(logits) for logits, _ in found])
    exits = torch.tensor([exit_index for _, exit_index in found])
    there = exits, torch.arange(len(images))
    off = expected.new_zeros(expected.shape[:2])
    off[there] = (logits - expected[there]).abs().amax(1)
    return exits, logits.argmax(1), off


def _check(off: Tensor, expected: Tensor, names: list[str]) -> None:
    """Refuses differences (E N) that are too large."""
    allowed = TOLERANCE * expected.abs().amax(2).clamp(min=1)
    wrong = (~(off <= allowed)).nonzero()
    if len(wrong):
        k, n = wrong[0].tolist()
        raise ExeuntError(
            f"{names[n]}: a score of exit {k + 1} is {float(off[k, n]):.3g} off PyTorch's, "
            f"more than {float(allowed[k, n]):.3g}"
        )
