"""Batch norm in training together with the activation behind it, by the kernels in C.

Torch goes through a map thirteen times, there and back, for a batch norm and an in-place ReLU6
behind it; the kernels go through it eight times. What they keep for the way back is what torch's
batch norm keeps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as everywhere

from exeunt.native import Native, native
from exeunt.native.norm import Norm, parallel, run_norm
from exeunt.ops.watched import takes_kernels

_LIMITS: dict[type[nn.Module] | None, tuple[float, float]] = {
    None: (-math.inf, math.inf),
    nn.ReLU: (0.0, math.inf),
    nn.ReLU6: (0.0, 6.0),
}


def norm_act(x: Tensor, norm: nn.Module, act: nn.Module | None = None) -> Tensor:
    """`act(norm(x))` of a map (N, C, H, W).

    A batch norm that learns, with nothing, a ReLU or a ReLU6 behind it, is computed by the kernels
    in C where the map lies channels last on the processor. Its results are torch's to 1e-5, its
    statistics too.
    """
    kernels = _kernels_for(x, norm, act)
    if kernels is None:
        out: Tensor = norm(x)
        return out if act is None else act(out)
    assert isinstance(norm, nn.BatchNorm2d)
    limits = _LIMITS[None if act is None else type(act)]
    out, means, variances = _NormAct.apply(  # type: ignore[no-untyped-call]
        x, norm.weight, norm.bias, norm.eps, limits, kernels
    )
    _remember(norm, means, variances, x.numel() // x.shape[1])
    return out


def _kernels_for(x: Tensor, norm: nn.Module, act: nn.Module | None) -> Native | None:
    if not (type(norm) is nn.BatchNorm2d and norm.training and x.dim() == 4):
        return None
    fits = (
        (None if act is None else type(act)) in _LIMITS
        and takes_kernels(x)
        and (torch.get_num_threads() == 1 or parallel() is not None)
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.shape[1] == norm.num_features
        and x.numel() > x.shape[1]
        and norm.affine
        and all(one.dtype == torch.float32 and one.is_cpu for one in (norm.weight, norm.bias))
        and (norm.running_mean is None or norm.running_mean.dtype == torch.float32)
        and not any(_has_hooks(one) for one in (norm, act))
    )
    return native() if fits else None


def _has_hooks(module: nn.Module | None) -> bool:
    if module is None:
        return False
    own = (module._forward_hooks, module._forward_pre_hooks)
    back = (module._backward_hooks, module._backward_pre_hooks)
    return any((*own, *back)) or any(
        (
            everywhere._global_forward_hooks,
            everywhere._global_forward_pre_hooks,
            everywhere._global_backward_hooks,
            everywhere._global_backward_pre_hooks,
        )
    )


def _remember(norm: nn.BatchNorm2d, means: Tensor, variances: Tensor, pixels: int) -> None:
    """Moves the running statistics on, as torch does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(means, share)
    norm.running_var.lerp_(variances * (pixels / (pixels - 1)), share)


class _NormAct(torch.autograd.Function):
    """(N, C, H, W) to the same, channels last, and to its means and variances, (C,)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        limits: tuple[float, float],
        kernels: Native,
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = x.new_empty(4, x.shape[1])
        out = torch.empty_like(x)
        layer = _layer(x, weight, bias, eps, limits, found)
        layer.out = out.data_ptr()
        run_norm(kernels, layer, torch.get_num_threads())
        ctx.save_for_backward(x, weight, bias, found)
        ctx.eps, ctx.limits, ctx.kernels = eps, limits, kernels
        means, variances = found[0], found[1]
        ctx.mark_non_differentiable(means, variances)
        return out, means, variances

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, found = ctx.saved_tensors
        grad = grads[0]
        if torch.is_grad_enabled():  # somebody wants the gradients of gradients
            return *_in_torch(x, weight, bias, ctx.eps, ctx.limits, grad), None, None, None
        apart = _apart(grad)
        if apart is None:
            grad, apart = grad.contiguous(memory_format=torch.channels_last), x.shape[1]
        made, out = x.new_empty(4, x.shape[1]), torch.empty_like(x)
        layer = _layer(x, weight, bias, ctx.eps, ctx.limits, found)
        layer.gradients, layer.out = grad.data_ptr(), out.data_ptr()
        layer.apart = apart
        layer.weight_gradients, layer.bias_gradients, layer.more, layer.rest = _rows(made)
        run_norm(ctx.kernels, layer, torch.get_num_threads())
        return out, made[0], made[1], None, None, None


def _apart(x: Tensor) -> int | None:
    """Numbers from each pixel of (N, C, H, W) to the next, where all are as far apart and channels
    lie side by side; None where not.
    """
    images, channels, height, width = x.shape
    image, channel, row, column = x.stride()
    ways = (width, column, 1), (height, row, width), (images, image, height * width)
    found = {stride / pixels for size, stride, pixels in ways if size > 1}
    return int(found.pop()) if len(found) == 1 and (channel == 1 or channels == 1) else None


def _layer(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    limits: tuple[float, float],
    found: Tensor,
) -> Norm:
    layer = Norm(x.data_ptr(), None, None, weight.data_ptr(), bias.data_ptr(), *_rows(found))
    layer.channels, layer.pixels = x.shape[1], x.numel() // x.shape[1]
    layer.epsilon, (layer.low, layer.high) = eps, limits
    return layer


def _rows(table: Tensor) -> list[int]:
    """Addresses of the rows of a dense table of float32."""
    return [table.data_ptr() + 4 * table.shape[1] * row for row in range(len(table))]


def _in_torch(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, limits: tuple[float, float], grad: Tensor
) -> tuple[Tensor, ...]:
    out = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps).clamp(*limits)
    return torch.autograd.grad(out, (x, weight, bias), grad, create_graph=True)
