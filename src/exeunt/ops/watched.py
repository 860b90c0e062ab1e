"""Whether somebody looks at the operators that run."""

from __future__ import annotations

import torch
from torch import Tensor


def takes_kernels(x: Tensor) -> bool:
    """Whether kernels of our own may take x: plain numbers on the processor, with nobody looking.

    Whoever traces, transforms or counts what torch does (`torch.export`, `torch.compile`,
    `torch.func`, dispatch modes, fake tensors) sees torch's own operators instead.
    """
    return not (
        type(x) is not Tensor
        or x.device.type != "cpu"
        or x.dtype != torch.float32
        or x.layout != torch.strided
        or x.numel() == 0
        or torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def with_own_backward() -> bool:
    """Whether backward passes of our own are used: gradients are wanted, and nobody writes down
    what runs, who sees plain operators.
    """
    recorded = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return torch.is_grad_enabled() and not recorded
