"""A folder's answers beside PyTorch's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
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
        ties: names of images that left elsewhere or with another class although all scores are
            within `TOLERANCE`: they stand on the edge.
        classes: of every exit of the folder (E N).
        exit_index: where each image left (N).
        class_index: and with which class (N).
    """

    images: int
    largest_difference: float
    same: float
    exit_agreement: list[float]
    ties: list[str]
    classes: Tensor
    exit_index: Tensor
    class_index: Tensor


def compare_onnx(
    model: StagedModel,
    net: MultiExitNet,
    batches: Iterable[tuple[list[str], Tensor]],
) -> Comparison:
    """Runs the folder, all exits and with its policy, and the network with the same policy.

    Scores of a folder in float32 must be within `TOLERANCE` of the largest score of their exit, or
    of 1 if that is less; in int8 nothing is asked.

    Args:
        model: the folder.
        net: what it was made of, in evaluation mode.
        batches: names and images (N, C, H, W), at least one.

    Raises:
        ExeuntError: at the first score that is too far off, naming image and exit.
    """
    exact = model.manifest["dtype"] == "float32"
    policy = parse_policy(model.policy.spec)
    parts, ties, largest = [], [], 0.0
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
            ties += [
                name for name, is_same in zip(names, same.tolist(), strict=True) if not is_same
            ]
        classes = scores.argmax(2)
        parts.append((classes, classes == expected.argmax(2), left, taken, same))
    classes, agree, left, taken, same = (torch.cat(one, -1) for one in zip(*parts, strict=True))
    return Comparison(
        images=len(same),
        largest_difference=largest,
        same=float(same.double().mean()),
        exit_agreement=agree.double().mean(1).tolist(),
        ties=ties,
        classes=classes,
        exit_index=left,
        class_index=taken,
    )


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
