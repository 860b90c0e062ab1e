"""Any trained network as the teacher of all exits (Hinton et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.trained import TrainedModel

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow has it


class Teacher:
    """The last exit of a network that knows the same classes, in whatever order.

    It sees what the student sees: the same augmented image, resized to the teacher's own size and
    normalised as the teacher has it. No part of that image is cropped away.

    Args:
        model: a run folder, a weights file or the name of weights that ship.
        transform: of the student, whose images it is given.
        class_names: K of them, in the order of the student's logits.
        share: g, of the teacher in every exit's loss.
        temperature: T, by which logits are divided.
        half: compute under autocast to bfloat16.

    Raises:
        ExeuntError: when there are no such weights, or they are for other classes.
    """

    def __init__(
        self,
        model: str,
        transform: Transform,
        class_names: Sequence[str],
        share: float,
        temperature: float,
        half: bool = False,
    ) -> None:
        trained = TrainedModel.load(model)
        theirs = trained.info.class_names
        if sorted(theirs) != sorted(class_names):
            raise ExeuntError(
                f"teacher={model!r} knows the classes {some_of(theirs)}; those of the images are "
                f"{some_of(class_names)}; {_apart(theirs, class_names)}"
            )
        self.net = trained.net.requires_grad_(False)
        self.order = torch.tensor([theirs.index(name) for name in class_names])
        self.own, self.students = trained.transform, transform
        self.share, self.temperature, self.half = share, temperature, half

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """The teacher's logits for the student's images (N, C, H, W), in the student's order of
        classes: (N, K), float32.
        """
        net, seen = self.net.to(images.device), self.seen(images)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half):
            logits: Tensor = net(seen)[-1]
        return logits.float()[:, self.order.to(images.device)]

    def seen(self, images: Tensor) -> Tensor:
        """The student's images as the teacher takes them."""
        own, students = self.own, self.students
        pixels = images * _per_channel(students.std, images) + _per_channel(students.mean, images)
        if students.mode == "L" and own.mode == "RGB":
            pixels = pixels.expand(-1, 3, -1, -1)
        elif students.mode == "RGB" and own.mode == "L":
            pixels = (pixels * _per_channel(_LUMA, images)).sum(1, keepdim=True)
        if pixels.shape[2:] != own.image_size:
            pixels = F.interpolate(pixels, own.image_size, mode=own.interpolation, antialias=True)
            pixels = pixels.clamp(0, 1)  # bicubic goes beyond
        return (pixels - _per_channel(own.mean, images)) / _per_channel(own.std, images)

    def joined(self, losses: Tensor, images: Tensor, logits: Sequence[Tensor]) -> Tensor:
        """`(1 - g) l_i + g T^2 KL(softmax(t / T) || softmax(y_i / T))` for every exit i.

        Args:
            losses: l, (E,), by the labels.
            images: (N, C, H, W), of the student.
            logits: y, E tensors (N, K), of the student; t are the teacher's.

        Returns:
            (E,), float32.
        """
        taught = self.logits(images)
        apart = torch.stack([divergence(taught, out, self.temperature) for out in logits])
        return (1 - self.share) * losses + self.share * apart


def divergence(taught: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """`T^2 KL(softmax(t / T) || softmax(y / T))` of logits t and y, (N, K); the mean over N."""
    target = (taught / temperature).log_softmax(1)
    mine = (logits.float() / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(mine, target, reduction="batchmean", log_target=True)


def some_of(names: Sequence[str]) -> str:
    """The first of some class names."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "none (values)"


def _apart(theirs: Sequence[str], ours: Sequence[str]) -> str:
    only = [
        ("only the teacher's", set(theirs) - set(ours)),
        ("only the images'", set(ours) - set(theirs)),
    ]
    return ", ".join(f"{whose} {some_of(sorted(names))}" for whose, names in only if names)


def _per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    return like.new_tensor(values).view(1, -1, 1, 1)
