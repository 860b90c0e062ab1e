"""Networks that others wrap, trace or rewrite: they work, or a line says what does instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from exeunt import Classifier, ReX2d, attach_exits, infer, record
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.evaluate import weights_fingerprint
from exeunt.models import create_model
from exeunt.net import MultiExitNet, unwrapped
from exeunt.ops.renet import ReNet2d
from exeunt.policies import Confidence


@pytest.fixture
def net() -> MultiExitNet:
    torch.manual_seed(0)
    blocks = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), ReX2d(4, 2, 2, 2, 2))
    return attach_exits(blocks, [1], 3, image_shape=(3, 16, 16)).eval()


@pytest.fixture
def gloo(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    store = f"file://{tmp_path}/store"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def recorded(model: Any, images: Tensor) -> Any:
    batch = SimpleNamespace(
        images=images, targets=torch.tensor([0, 1, 2, 0]), indices=torch.arange(4)
    )
    return record(
        model,
        [batch],
        exit_macs=(1, 2),
        task="classification",
        names=list("abcd"),
        split="test",
        data_fingerprint="x",
    )


def same_answers(wrapped: Any, net: MultiExitNet) -> None:
    assert unwrapped(wrapped) is net
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    policy = Confidence(float(net(images)[0].softmax(1).amax(1).detach().median()))
    found, expected = infer(wrapped, images, policy), infer(net, images, policy)
    assert set(expected.exit_index.tolist()) == {0, 1}
    assert torch.equal(found.logits, expected.logits)
    assert found.rows == expected.rows
    table, wanted = recorded(wrapped, images), recorded(net, images)
    assert torch.equal(table.logits, wanted.logits)
    assert table.weights_fingerprint == wanted.weights_fingerprint


def test_networks_of_several_processes_answer_as_they_are(net: MultiExitNet, gloo: None) -> None:
    same_answers(DistributedDataParallel(net), net)
    same_answers(torch.compile(DistributedDataParallel(net)), net)


def test_compiled_and_averaged_networks_answer_as_they_are(net: MultiExitNet) -> None:
    same_answers(torch.compile(net), net)
    same_answers(nn.DataParallel(torch.compile(net)), net)
    averaged = AveragedModel(net)
    assert torch.equal(
        unwrapped(averaged)(torch.ones(1, 3, 16, 16))[1], net(torch.ones(1, 3, 16, 16))[1]
    )


def test_a_classifier_is_made_of_what_is_inside(net: MultiExitNet) -> None:
    classifier = Classifier(
        torch.compile(net), transform=Transform((16, 16)), class_names=["a", "b", "c"]
    )
    assert classifier.net is net


def test_compiled_stages_have_the_weights_they_had(net: MultiExitNet) -> None:
    before = weights_fingerprint(net)
    for k, stage in enumerate(net.stages):
        net.stages[k] = torch.compile(stage)  # type: ignore[assignment]
    assert any("_orig_mod" in name for name in net.state_dict())
    assert weights_fingerprint(net) == before


@pytest.mark.parametrize("operator", [ReX2d(3, 2, 2, 4, 3), ReNet2d(3, 2)])
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("gradients", [True, False])
def test_traced_recurrences_say_what_they_said(operator: nn.Module, gradients: bool) -> None:
    images = torch.randn(3, 3, 8, 8)
    with torch.set_grad_enabled(gradients):
        traced: Any = torch.jit.trace(operator, images[:1])
        assert torch.allclose(traced(images[:1]), operator(images[:1]), atol=1e-6)


@pytest.mark.parametrize("operator", [ReX2d(3, 2, 2, 4, 3), ReNet2d(3, 2)])
def test_symbolic_tracing_is_told_what_to_do(operator: nn.Module) -> None:
    with pytest.raises(ExeuntError, match=r"torch\.fx.*use torch\.export\.export") as error:
        torch.fx.symbolic_trace(operator)
    assert "\n" not in str(error.value)


def test_symbolic_tracing_around_recurrences(net: MultiExitNet) -> None:
    class Around(torch.fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return isinstance(module, ReX2d) or super().is_leaf_module(module, name)

    images = torch.randn(2, 3, 16, 16)
    plain = create_model("resnet_cifar", 3, depth=8).eval()
    for whole, graph in ((net, Around().trace(net)), (plain, torch.fx.Tracer().trace(plain))):
        traced = torch.fx.GraphModule(whole, graph)
        for found, expected in zip(traced(images), whole(images), strict=True):
            assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operator", [ReX2d(3, 2, 2, 4, 3), ReNet2d(3, 2)])
def test_weights_that_are_packed_away_are_named(operator: nn.Module) -> None:
    packed = torch.ao.quantization.quantize_dynamic(operator)
    with pytest.raises(ExeuntError, match=r"its GRU was quantised by torch\.ao.*exeunt export"):
        packed(torch.randn(1, 3, 8, 8))
