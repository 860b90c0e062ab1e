"""C's answers beside Python's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.export.c.host import ExitAnswer

FLOAT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        images: that were compared.
        exits: of each.
        same_bits: whether all scores are the same; otherwise they are within `FLOAT_TOLERANCE` of
            the largest.
        exit_index: where each image left (N,).
        class_index: and with which class (N,).
        classes: of every exit (E, N).
        scores: of every exit as C found them, E tensors (N, K).
    """

    images: int
    exits: int
    same_bits: bool
    exit_index: Tensor
    class_index: Tensor
    classes: Tensor
    scores: list[Tensor]


def compare(
    answers: Iterable[ExitAnswer], scores: Sequence[Tensor], names: Sequence[str], *, integers: bool
) -> Comparison:
    """Holds every answer against Python's scores.

    Args:
        answers: of all exits, image after image.
        scores: what Python found, E tensors (N, K).
        names: of the N images, for errors.
        integers: whether scores must be equal, or may differ as float32 does.

    Raises:
        ExeuntError: at the first difference, naming image and exit.
    """
    exits, count = len(scores), len(names)
    left = torch.full((count,), -1)
    taken = torch.full((count,), -1)
    classes = torch.full((exits, count), -1)
    kept = [torch.empty_like(mine) for mine in scores]
    same, seen = True, 0
    for answer in answers:
        n, k = answer.image, answer.exit_index
        where = f"{names[n]}: exit {k + 1}"
        wanted = scores[k][n]
        if integers:
            found = torch.tensor([int(score) for score in answer.scores])
            if not torch.equal(found, wanted):
                raise ExeuntError(
                    f"{where} gives {found.tolist()} in C and {wanted.tolist()} in Python"
                )
        else:
            found = torch.tensor([float(score) for score in answer.scores])
            same &= torch.equal(found, wanted)
            allowed = FLOAT_TOLERANCE * max(1.0, float(wanted.abs().max()))
            if not torch.allclose(found, wanted, rtol=0, atol=allowed):
                raise ExeuntError(
                    f"{where} gives {found.tolist()} in C and {wanted.tolist()} in Python"
                )
        best = int((found == found.max()).int().argmax())
        if best != answer.class_index:
            raise ExeuntError(f"{where}: class {answer.class_index} in C, not {best}")
        classes[k, n], kept[k][n] = best, found
        if answer.leave and left[n] < 0:
            left[n], taken[n] = k, best
        seen += 1
    if seen != exits * count or (left < 0).any():
        raise ExeuntError(f"{seen} answers of C for {count} images with {exits} exits")
    return Comparison(count, exits, same, left, taken, classes, kept)
