"""One node of an ONNX file, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError


@dataclass
class OnnxCall:
    """One node of a file.

    Attributes:
        kind: its operator.
        where: it stands, for messages.
        attributes: by name.
        inputs: of each its name, what it was when the network was followed, and whether it is
            stored; a name alone where it is left out.
        batch: images that the network was followed on.
        opset: version of the operators.
    """

    kind: str
    where: str
    attributes: dict[str, Any]
    inputs: Sequence[tuple[str, Tensor | None, bool]]
    batch: int
    opset: int
    settled: set[str] = field(default_factory=set)

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def is_there(self, place: int) -> bool:
        return place < len(self.inputs) and self.inputs[place][1] is not None

    def takes(self, name: str) -> bool:
        """Whether the module of this call reads that input when it runs."""
        return name not in self.settled

    @property
    def stored(self) -> list[Tensor]:
        """Inputs that are stored and that the module has not got already."""
        return [t for name, t, known in self.inputs if known and t is not None and self.takes(name)]

    def shape(self, place: int = 0) -> tuple[int, ...]:
        """Of an input, when the network was followed."""
        tensor = self.inputs[place][1]
        assert tensor is not None
        return tuple(tensor.shape)

    def constant(self, place: int) -> Tensor | None:
        """An input that settles what the module does; None where it is left out.

        Raises:
            ExeuntError: when it hangs on the images.
        """
        if not self.is_there(place):
            return None
        name, tensor, known = self.inputs[place]
        if not known:
            raise ExeuntError(
                f"{self.where}: {self.kind} by what is computed ({name!r}), not stored"
            )
        self.settled.add(name)
        return tensor

    def numbers(self, place: int, attribute: str) -> list[int] | None:
        """Whole numbers that older opsets have as an attribute, and newer ones as an input."""
        if attribute in self.attributes:
            return [*self.attributes[attribute]]
        found = self.constant(place)
        return None if found is None else [int(n) for n in found.flatten().tolist()]

    def refused(self, what: str) -> ExeuntError:
        return ExeuntError(f"{self.where}: {self.kind} {what}, which is not read here")


class Function(nn.Module):
    """A function of tensors, some of which may be stored, at their places among the others."""

    def __init__(
        self, function: Callable[..., Any], stored: Sequence[tuple[int, Tensor]] = ()
    ) -> None:
        super().__init__()
        self.function, self.places = function, [place for place, _ in stored]
        for place, tensor in stored:
            self.register_buffer(f"stored_{place}", tensor.clone())

    def forward(self, *tensors: Tensor) -> Any:
        given = [*tensors]
        for place in self.places:
            given.insert(place, self.get_buffer(f"stored_{place}"))
        return self.function(*given)


Maker = Callable[[OnnxCall], nn.Module]


def of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Maker:
    """Of tensors, one of which may be stored."""

    def make(call: OnnxCall) -> nn.Module:
        known = [(k, t) for k, (_, t, stored) in enumerate(call.inputs) if stored and t is not None]
        if len(known) == len(call.inputs):
            return Function(function)
        call.settled |= {call.inputs[k][0] for k, _ in known}
        return Function(function, known)

    return make


def zeros(before: Sequence[int], after: Sequence[int]) -> nn.Module:
    """Around what a call reads, by axis, the last ones at least."""
    pairs = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
    while len(pairs) > 4 and pairs[-2:] == [0, 0]:
        del pairs[-2:]
    return Function(partial(F.pad, pad=pairs))
