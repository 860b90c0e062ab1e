"""Operators that others bring: one class says all that is known of one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from exeunt.errors import ExeuntError
from exeunt.graph.call import Call, Made
from exeunt.graph.operator import Operator
from exeunt.graph.plain_calls import REGISTERED
from exeunt.registry import Registry

OWN: Registry[Any] = Registry("operator")
"""Classes of these operators, by their names."""

Kind = TypeVar("Kind", bound="type[OwnOperator]")


class OwnOperator(Operator):
    """A frozen dataclass of settings, which says what it computes (`run`), and gives the rest of
    `docs/operators.md` as far as it likes: what it does not say is refused in one line.

    From `Operator` it has `macs`, 0 unless it says otherwise; `by_pixel` or `rows`, without which
    it needs its whole input before it makes the first row; `kept_bytes`; `in_place` and
    `keeps_scale`.
    """

    reads_parts: ClassVar[bool] = False
    """Whether its kernels read channels that lie in several tensors; else C refuses those."""

    @classmethod
    @abstractmethod
    def of(cls, call: Call) -> Made | None:
        """The operator for a call, and its constants by name; None for what it cannot do."""

    def integer(self, node: Any, graph: Any, scales: Any) -> Any:
        """Its form in integers, an `exeunt.quantize.IntegerOperator`.

        Args:
            node: that it stands in, with `inputs`, `output` and `constants`.
            graph: with the `shapes` of all tensors.
            scales: what integers stand for, by tensor.
        """
        return None

    def kernel_f32(self, node: Any, graph: Any, source: Any, number: int) -> Any:
        """How C in float32 calls it, an `exeunt.export.c.Kernel`, whose `own` files have the C.

        Args:
            node: as above.
            graph: as above.
            source: where constants and structs are defined.
            number: of the node, for names.
        """
        return None

    def kernel_s8(self, node: Any, integers: Any, graph: Any, source: Any, number: int) -> Any:
        """The same for C in int8; `integers` is what `integer` gave."""
        return None

    def write_onnx(self, build: Any, node: Any, shapes: Any, to: str) -> bool:
        """Adds it to a model, its output named `to`; returns whether it has such a form.

        Args:
            build: has `add` for nodes, `floats` and `integers` for constants.
            node: as above.
            shapes: of all tensors.
            to: name of the output.
        """
        return False


def register_operator(*calls: Any) -> Callable[[Kind], Kind]:
    """Makes an operator known: calls of these ATen operators become it where its `of` says so.

    `@exeunt.register_operator(torch.ops.aten.group_norm.default)` stands before the class. It comes
    before what exeunt has for such a call.

    Raises:
        ExeuntError: for what is no class of `OwnOperator`, no ATen operator, or a name that is
            taken.
    """
    for call in calls:
        if not hasattr(call, "_schema"):
            raise ExeuntError(
                f"register_operator: {call!r} is no ATen operator; one is "
                "torch.ops.aten.group_norm.default"
            )

    def register(kind: Kind) -> Kind:
        if not (isinstance(kind, type) and issubclass(kind, OwnOperator)):
            raise ExeuntError(f"register_operator: {kind!r} is no class of exeunt.OwnOperator")
        if not calls:
            raise ExeuntError(f"register_operator: name the calls that become a {kind.__name__}")
        OWN.add(kind.__name__, kind)
        for call in calls:
            REGISTERED[call] = kind.of
        return kind

    return register
