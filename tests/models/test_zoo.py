"""What every registered network must do: the contract, PyTorch's transformations, weights.

Small variants of all of `list_models()`; two names that are the same when small are tested once.
A change of parameter names breaks weights on users' disks; one that is meant is recorded with

    python tests/models/test_zoo.py
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.contract import check_model
from exeunt.graph import buffers_of, build_graph, interpret, make_plan, verify_plan
from exeunt.models import (
    FORM,
    MODELS,
    WeightsInfo,
    create_model,
    list_models,
    load_weights,
    model_takes,
    save_weights,
)
from exeunt.net import MultiExitNet
from exeunt.ops.rex_block import REX_FORMS
from exeunt.training.losses import depth_weighted, exit_losses

GOLDEN = Path(__file__).with_name("golden_names.json")

SMALL: dict[str, dict[str, Any]] = {  # by function that builds
    "efficientnet_lite": {"width": 0.2, "depth": 0.6},
    "mobilenetv1": {"width": 0.1},
    "mobilenetv2": {"width": 0.1},
    "rex_mobilenetv2": {"width": 0.1},
    "resnet34": {"layers": (1, 2, 3, 1), "widths": (8, 8, 16, 24)},
    "rex_resnet34": {"layers": (1, 2, 3, 1), "widths": (8, 8, 16, 24)},
    "densenet121": {"layers": (1, 2, 3, 2), "growth": 4, "width": 8},
    "rex_densenet121": {"layers": (1, 2, 3, 2), "growth": 4, "width": 8},
    "resnet_cifar": {"depth": 14, "width": 4},
    "wideresnet_cifar": {"depth": 16, "widen": 1},
    "densenetbc_cifar": {"depth": 22, "growth": 4},
    "msdnet": {"base": 2, "step": 1, "blocks": 4, "width": 4, "growth": 2, "exit_width": 8},
    "rex_msdnet": {"base": 1, "step": 1, "blocks": 3, "width": 4, "growth": 2},
    "ranet": {"width": 4, "growth": 4, "step": 1, "exit_width": 8},
}
COMPILED = ("msdnet_cifar10",)  # by inductor, which takes its time


def small_arguments(name: str) -> tuple[str, dict[str, Any]]:
    """The function that builds `name`, and the arguments of its small variant."""
    builder, preset = MODELS[name].builder, {}
    if isinstance(builder, partial):
        builder, preset = builder.func, builder.keywords
    assert builder.__name__ in SMALL, f"{name}: give {builder.__name__} a small variant in SMALL"
    arguments = preset | SMALL[builder.__name__]
    arguments.pop("num_classes", None)
    return builder.__name__, arguments


def distinct() -> list[str]:
    """Names whose small variants differ."""
    return list({repr(small_arguments(name)): name for name in reversed(list_models())}.values())


def builders() -> list[str]:
    """One name for each function that builds: for what takes long and depends on its code alone."""
    return list({small_arguments(name)[0]: name for name in reversed(list_models())}.values())


def small(name: str) -> MultiExitNet:
    torch.manual_seed(0)
    return create_model(name, 5, **small_arguments(name)[1])


def images(rows: int = 3, height: int = 33, width: int = 46) -> Tensor:
    return torch.randn(rows, 3, height, width, generator=torch.Generator().manual_seed(1))


def assert_same(got: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    scale = max(out.abs().max().item() for out in wanted)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine.float(), theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("image_size", [(32, 32), (33, 46)], ids=str)
@pytest.mark.parametrize("name", distinct())
def test_the_contract(name: str, image_size: tuple[int, int]) -> None:
    """Steps and forward agree, rows may leave, gradients reach everything, exits are reset."""
    check_model(small(name), image_size)


@pytest.mark.parametrize("name", distinct())
def test_grey_images_and_one_exit(name: str) -> None:
    net = create_model(name, 5, in_chans=1, exits="last", **small_arguments(name)[1]).eval()
    (logits,) = net(images()[:, :1])
    assert logits.shape == (3, 5)


@pytest.mark.parametrize("name", distinct())
def test_a_training_step_lowers_the_loss(name: str) -> None:
    net = small(name).train()
    x, targets = images(8, 48, 48), torch.arange(8) % 5
    optimizer = torch.optim.SGD(net.parameters(), lr=0.003)

    def loss() -> Tensor:
        torch.manual_seed(0)  # dropout
        return depth_weighted(exit_losses(net(x), targets))

    before = loss()
    before.backward()
    optimizer.step()
    assert loss() < before


@torch.no_grad()
@pytest.mark.parametrize("name", distinct())
def test_the_graph_computes_and_costs_the_same(name: str) -> None:
    size = (33, 46)
    net = small(name).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # folding must show
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.3)
    graph = build_graph(net, size)
    x = images(2, *size)
    assert_same(interpret(graph, x), net(x), 1e-4)
    assert graph.exit_macs == tuple(info.macs for info in net.exit_info(size))
    plan = make_plan(buffers_of(graph, 1))
    assert verify_plan(graph, plan, 1) == plan.arena_bytes


@torch.no_grad()
@pytest.mark.parametrize("name", distinct())
def test_half_precision(name: str) -> None:
    """bfloat16 has 8 bits; in a hundred untrained layers that adds up to a tenth of the logits."""
    net = small(name).eval()
    wanted = net(images())
    with torch.autocast("cpu", torch.bfloat16):
        got = net(images())
    assert_same(got, wanted, 0.2)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("name", builders())
def test_every_stage_exports_with_a_dynamic_batch(name: str) -> None:
    net = small(name).eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    state = net.begin(images(5))
    for k, stage in enumerate(net.stages):
        shapes = {"state": tuple({0: batch} for _ in state)}
        program = torch.export.export(stage, state, dynamic_shapes=shapes).module()
        for rows in (2, 5):
            some = tuple(part[:rows] for part in state)
            logits, moved = net.step(k, some)
            assert_same(list(program(*some)), [logits, *moved], 1e-5)
        state = moved


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("name", builders())
def test_compiles(name: str) -> None:
    net = small(name).eval()
    torch.compiler.reset()
    compiled = torch.compile(net, backend="aot_eager")
    with torch._dynamo.config.patch(allow_rnn=True):  # else in many pieces, around each nn.GRU
        assert_same(compiled(images()), net(images()), 1e-5)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiles_to_machine_code(name: str) -> None:
    net = small(name).eval()
    torch.compiler.reset()
    compiled = torch.compile(net, backend="inductor")
    assert_same(compiled(images()), net(images()), 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", distinct())
def test_weights_come_back(name: str, tmp_path: Path) -> None:
    net = small(name).eval()
    arguments = {"num_classes": 5, "in_chans": 3, **small_arguments(name)[1]}
    info = WeightsInfo(
        architecture=name,
        arguments=json.loads(json.dumps(arguments)),
        task="classification",
        class_names=list("abcde"),
        transform={"image_size": [32, 32]},
        policy="full",
        metrics={},
        split={"seed": 0},
        calibration_hashes=[],
        data={"name": "made up", "fingerprint": "0", "licence": "none"},
        command="none",
        versions={},
    )
    save_weights(tmp_path / "w.safetensors", net.state_dict(), info)
    again, _ = load_weights(tmp_path / "w.safetensors")
    for mine, theirs in zip(again(images()), net(images()), strict=True):
        assert torch.equal(mine, theirs)
    reused = create_model(name, 7, weights=tmp_path / "w.safetensors", **small_arguments(name)[1])
    assert [tuple(out.shape) for out in reused(images(1))] == [(1, 7)] * net.num_exits


def digests() -> dict[str, dict[str, Any]]:
    """How many tensors each network's state has, and a hash of their names and shapes."""
    found = {}
    for name in list_models():
        for form in [{FORM: form} for form in REX_FORMS] if model_takes(name, FORM) else [{}]:
            with torch.device("meta"):
                state = create_model(name, 10, **form).state_dict()
            lines = "\n".join(f"{key} {tuple(value.shape)}" for key, value in state.items())
            digest = hashlib.sha256(lines.encode()).hexdigest()[:16]
            found[" ".join((name, *form.values()))] = {"tensors": len(state), "sha256": digest}
    return found


def test_names_and_shapes_of_parameters_are_stable() -> None:
    assert digests() == json.loads(GOLDEN.read_text(encoding="utf-8"))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(digests(), indent=1) + "\n", encoding="utf-8")
