"""ONNX stages as a network that PyTorch's side of the library runs like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from exeunt.export.onnx.stages import StageModel
from exeunt.runner import Chain, OnnxRuntime, Stage


def open_stages(image: str, stages: Sequence[StageModel], threads: int = 0) -> Chain:
    """Opens stages that are in no file yet.

    Args:
        image: name of the image.
        stages: E of them.
        threads: that each runs on; 0 for as many as there are cores.
    """
    opened = []
    for stage in stages:
        session = OnnxRuntime(stage.model.SerializeToString(), threads)
        opened.append(Stage(stage.inputs, stage.logits, stage.passed_on, session))
    return Chain(image, opened)


class OnnxNet(nn.Module):
    """Takes images (N, C, H, W) and gives E logits (N, K).

    Args:
        chain: the stages.
        identity: text that tells this network from others, such as hashes of its files; it makes
            the fingerprint.
    """

    def __init__(self, chain: Chain, identity: str) -> None:
        super().__init__()
        self.chain = chain
        self.num_exits = len(chain.stages)
        (self.num_classes,) = chain.stages[0].session.outputs[chain.stages[0].logits]
        digest = hashlib.sha256(identity.encode()).digest()
        self.register_buffer("identity", torch.tensor(list(digest), dtype=torch.uint8))

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(torch.from_numpy(self.chain.forward(images.numpy())))
