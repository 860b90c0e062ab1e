"""Multiply-adds of one forward pass, counted from the operators that run.

A MAC is one multiply-add of a convolution, a matrix product or a recurrent cell, for one image;
biases, normalisation, activations and pooling count nothing. "FLOPs" in most papers of the field
are these MACs.

Every call that reaches PyTorch's dispatcher is looked at, whoever makes it: a module, a function,
or a product written with `@`. What it costs follows from its shapes (`torch.utils.flop_counter` has
the formulas). Recurrent modules have rules of their own, `HANDLERS`, since what they run depends on
the device, and ReX's depends on its padding. Whatever might multiply and has no formula is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

aten = torch.ops.aten


def _rex_macs(module: ReX2d, inputs: tuple[Any, ...], output: Tensor) -> int:
    return len(output) * module.macs(*inputs[0].shape[2:]).shared


def _renet_macs(module: ReNet2d, inputs: tuple[Any, ...], output: Tensor) -> int:
    return len(output) * math.prod(output.shape[2:]) * _matrices(module)


def _rnn_macs(module: nn.RNNBase, inputs: tuple[Any, ...], output: Any) -> int:
    sequences = inputs[0].data  # of a packed sequence, too
    steps: int = math.prod(sequences.shape[:-1])
    return steps * _matrices(module)


def _matrices(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.dim() == 2)


HANDLERS: dict[type[nn.Module], Callable[..., int]] = {
    ReX2d: _rex_macs,
    ReNet2d: _renet_macs,
    nn.RNNBase: _rnn_macs,
}
"""What modules cost that have a rule of their own, from the module, its inputs and its output.

A rule gives the multiply-adds of the whole call, all images of the batch together. It stands for
subclasses, too, and for what the module does itself: modules that it calls are counted besides.
Extend it for your own.
"""


def _attention_flops(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q.shape, k.shape, v.shape))  # type: ignore[no-untyped-call]


FORMULAS: dict[str, Callable[..., int]] = {
    "_scaled_dot_product_flash_attention_for_cpu": _attention_flops,
    "mv": lambda a, b, **_: 2 * a.numel(),
    "addmv": lambda _, a, b, **__: 2 * a.numel(),
    "dot": lambda a, b, **_: 2 * a.numel(),
    "vdot": lambda a, b, **_: 2 * a.numel(),
    "addr": lambda _, a, b, **__: 2 * a.numel() * b.numel(),
    "addbmm": lambda _, a, b, **__: 2 * a.numel() * b.shape[-1],
}
"""What ATen operators cost that `torch.utils.flop_counter` has no formula for, from what they take:
two for a multiply-add.
"""

_NAMES = """
__ilshift__ __irshift__ _assert_async _batch_norm_no_update _batch_norm_with_update
_batch_norm_with_update_functional _fake_quantize_learnable_per_channel_affine
_fake_quantize_per_tensor_affine_cachemask_tensor_qparams _functional_assert_async
_fused_moving_avg_obs_fq_helper _fused_rms_norm _index_put_impl _masked_scale
_native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training
_pack_padded_sequence _prelu_kernel _thnn_fused_gru_cell _thnn_fused_lstm_cell _unsafe_index
_unsafe_index_put _unsafe_masked_index _weight_norm_interface as_strided_scatter bernoulli
binary_cross_entropy binary_cross_entropy_with_logits bincount bucketize cat complex copy copysign
cudnn_batch_norm diagonal_scatter embedding eq equal fake_quantize_per_channel_affine_cachemask fill
floor_divide gather ge grid_sampler_2d grid_sampler_3d gt heaviside huber_loss index index_add
index_copy index_fill index_put index_reduce index_select is_same_size isin kthvalue le linspace lt
masked_fill masked_scatter masked_select max max_unpool2d max_unpool3d median min miopen_batch_norm
mode mse_loss native_batch_norm native_group_norm native_layer_norm ne nll_loss2d_forward
nll_loss_forward normal polar quantize_per_tensor resize_as rrelu_with_noise
rrelu_with_noise_functional rsub scatter scatter_add scatter_reduce searchsorted select_scatter set
slice_scatter smooth_l1_loss soft_margin_loss sort stack take topk
"""
FREE = frozenset(_NAMES.split())
"""ATen operators of two tensors or more that count nothing, pointwise ones left out: they move
numbers, choose among them, compare or normalise.
"""


@dataclass
class MacCount:
    """MACs by module name, and what there is no formula for.

    Attributes:
        images: in the batch.
        uncounted: what may multiply and has no formula, as `module (operator)`.
    """

    images: int = 1
    uncounted: list[str] = field(default_factory=list)
    _sums: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, macs: int) -> None:
        """Counts MACs of the whole batch for a module."""
        self._sums[name] = self._sums.get(name, 0) + macs

    @property
    def by_module(self) -> dict[str, int]:
        """MACs of one image, for every module that has some, in the order they first ran."""
        return {name: macs // self.images for name, macs in self._sums.items() if macs}

    @property
    def total(self) -> int:
        """Of all modules."""
        return sum(self._sums.values()) // self.images


def handler_of(module: nn.Module) -> Callable[..., int] | None:
    """The rule for a module: that of the nearest class it is of."""
    return next((HANDLERS[kind] for kind in type(module).__mro__ if kind in HANDLERS), None)


def macs_of(function: Any, *args: Any, **kwargs: Any) -> int | None:
    """MACs of one call of an ATen operator on tensors, fake ones too; None without a formula."""
    count = MacCount()
    with _Counting(count):
        function(*args, **kwargs)
    return None if count.uncounted else count.total


@contextmanager
def counting_macs(module: nn.Module, prefix: str = "") -> Iterator[MacCount]:
    """Counts what `module` and its children run inside the `with` block.

    Args:
        module: called once; the first tensor that it is given says how many images there are.
        prefix: before all names, as the path of `module` in a larger one.
    """
    count = MacCount()
    counting = _Counting(count, module)
    fused = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        torch.backends.mha.set_fastpath_enabled(False)  # or attention is one operator
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        for name, child in module.named_modules(prefix=prefix):
            begin = child.register_forward_pre_hook(partial(counting.begin, name))
            end = child.register_forward_hook(counting.end, always_call=True)
            stack.callback(begin.remove)
            stack.callback(end.remove)
        stack.enter_context(counting)
        yield count


def count_macs(module: nn.Module, *inputs: Tensor, prefix: str = "") -> MacCount:
    """MACs of `module(*inputs)` per image; see `MacCount`, and `counting_macs` for the prefix."""
    with counting_macs(module, prefix) as count:
        module(*inputs)
    return count


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at every operator, and at which module runs it."""

    def __init__(self, count: MacCount, root: nn.Module | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._count, self._root = count, root
        self._running: list[tuple[str, Callable[..., int] | None]] = []
        self._looking = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by torch: to say yes would import its compiler, seconds before the first count."""
        return False

    def begin(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """A module is about to run."""
        if module is self._root and inputs and isinstance(inputs[0], Tensor) and inputs[0].dim():
            self._count.images = max(len(inputs[0]), 1)
        self._running.append((name, handler_of(module)))
        self._look()

    def end(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """It has run, or failed, and then has no output."""
        name, handler = self._running.pop()
        self._look()
        if handler is not None and output is not None:
            self._count.add(name, handler(module, inputs, output))

    def _look(self) -> None:
        """Looks away where a rule counts, so that kernels of our own may do the work."""
        wanted = not self._running or self._running[-1][1] is None
        if wanted and not self._looking:
            self.__enter__()  # type: ignore[no-untyped-call]
            self._looking = True
        elif self._looking and not wanted and _get_current_dispatch_mode() is self:
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._looking = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name, handler = self._running[-1] if self._running else ("", None)
        formula = None if handler else _formula(func)
        if not (handler or formula or _is_free(func)):
            with self:  # what is made of other operators is counted by them
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
            said = f"{name} ({func})".lstrip()
            if said not in self._count.uncounted:
                self._count.uncounted.append(said)
        out = func(*args, **kwargs)
        if formula:
            self._count.add(name, formula(*args, **kwargs, out_val=out) // 2)
        return out


def _name(func: Any) -> str:
    """Of an operator, whether or not it works in place."""
    return str(func.overloadpacket.__name__).removesuffix("_")


def _formula(func: Any) -> Callable[..., int] | None:
    if func.namespace != "aten":
        return flop_registry.get(func.overloadpacket)
    packet = getattr(aten, _name(func), None)
    return flop_registry.get(packet) or FORMULAS.get(_name(func))


@cache
def _is_free(func: Any) -> bool:
    """Whether an operator multiplies nothing with anything: it takes one tensor at most, or goes
    number by number, or is known.
    """
    if func.namespace != "aten":
        return bool(func.namespace == "prim")
    tensors = [arg for arg in func._schema.arguments if "Tensor" in str(arg.type)]
    return len(tensors) < 2 or torch.Tag.pointwise in func.tags or _name(func) in FREE
