"""Networks made faster as they are: stages compiled, weights laid out as operators like them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.native import native
from exeunt.net import MultiExitNet
from exeunt.ops.rex import ReX2d


class CompileError(ExeuntError):
    """Raised when `torch.compile` fails, for instance for lack of a C++ compiler."""


def compile_stages(net: MultiExitNet, images: Tensor) -> MultiExitNet:
    """A copy of a network whose stages `torch.compile` made, each for itself, so that `infer` still
    stops between them.

    ReX stays as it is where exeunt's kernels run it. Stages are compiled for batches of one size;
    each other size that they meet takes as long again, which is a minute or more with ReX in
    torch's operators. So run images one by one, or as many at a time as `images`
    has and with a policy that lets nobody leave.

    Args:
        net: in evaluation mode; it is left as it is.
        images: (N, C, H, W), such as will be run, which the copy is run on once.

    Raises:
        CompileError: when that fails.
    """
    import torch._dynamo

    own = copy.deepcopy(net)
    apart: Any = torch.compiler.disable
    if native() is not None and images.device.type == "cpu":
        for module in (module for module in own.modules() if isinstance(module, ReX2d)):
            module.forward = apart(module.forward)  # type: ignore[method-assign]
    for k, stage in enumerate(own.stages):
        own.stages[k] = torch.compile(stage, dynamic=False)  # type: ignore[assignment]
    # Without this its graphs break at each recurrent layer.
    try:
        with torch._dynamo.config.patch(allow_rnn=True), torch.inference_mode():
            own(images)
    except Exception as error:  # whatever a backend makes of a machine without compiler
        reason = str(error).strip().partition("\n")[0]
        raise CompileError(f"torch.compile failed: {reason}") from error
    return own


def use_channels_last(net: MultiExitNet) -> MultiExitNet:
    """Lays the weights of a network with depthwise convolutions out channels last, in place, where
    it runs on a CPU; other networks stay, as some get slower. Shapes and values are as before.
    """
    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    depthwise = any(conv.groups == conv.in_channels > 1 for conv in convs)
    if depthwise and all(conv.weight.device.type == "cpu" for conv in convs):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net
