from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.models import create_model, list_models
from exeunt.net import MultiExitNet
from exeunt.ops.macs import counting_macs

TINY: dict[str, Any] = {"base": 2, "step": 1, "blocks": 4, "width": 4, "growth": 4}
REX_TINY: dict[str, Any] = {"width": 8, "growth": 4, "factors": (1, 2, 2)}

# Small networks that differ in all that shapes the grid: arguments, layers at the exits, scales.
GRIDS: list[tuple[dict[str, Any], list[int], int]] = [
    ({"factors": (1, 2, 4)}, [2, 3, 4, 5], 3),
    ({"factors": (1, 2, 4), "prune": "min", "blocks": 5}, [2, 3, 4, 5, 6], 3),
    ({"factors": (1, 2, 4), "mode": "lin_grow", "base": 1, "blocks": 3}, [1, 3, 6], 3),
    ({"factors": (2, 1, 1, 3), "base": 1, "stem": "imagenet"}, [1, 2, 3, 4], 4),
    ({"factors": (1, 2, 4, 4), "step": 2, "prune": "min", "exits": [1]}, [4, 8], 4),
    ({"factors": (1, 2), "base": 3, "step": 3, "blocks": 2, "reduction": 0.3}, [3, 6], 2),
    ({"factors": (2,), "prune": "min"}, [2, 3, 4, 5], 1),
    # two scales are left behind the last layer, and the finer one reaches no exit from there
    ({"factors": (1, 2, 4), "base": 1}, [1, 2, 3, 4], 3),
]
ids = [f"grid{i}" for i in range(len(GRIDS))]


def small(kwargs: dict[str, Any], lazy: bool = True, num_classes: int = 3) -> MultiExitNet:
    torch.manual_seed(0)
    return create_model("msdnet", num_classes, lazy=lazy, **(TINY | kwargs)).eval()


def layers_of(net: MultiExitNet) -> dict[str, nn.Module]:
    """All modules of the grid by name, whichever stage they are in."""
    return {name: child for stage in net.stages for name, child in stage.trunk.named_children()}


def by_hand(
    net: MultiExitNet, image: Tensor, ends: list[int], scales: int, prune: str
) -> list[Tensor]:
    """Logits of every exit, each map from those it is made from, as published code connects it."""
    modules = layers_of(net)
    layers = ends[-1]

    def kept(layer: int) -> int:
        if prune == "min":
            return min(scales, layers - layer + 1)
        return scales - math.floor(max(0, layer - 1) / math.ceil(layers / scales))

    def narrowed(layer: int) -> bool:
        if prune == "min":
            return layer in (math.floor(layers / 3), math.floor(2 * layers / 3))
        return kept(layer) < kept(layer - 1)

    @cache
    def x(layer: int, scale: int) -> Tensor:
        module: Any = modules[f"scale{scale}_layer{layer}"]
        if layer == 0:
            return module(image if scale == 0 else x(0, scale - 1))
        own = x(layer - 1, scale)
        parts = [own, module.normal(own)]
        if scale > scales - kept(layer) or kept(layer) < kept(layer - 1):
            parts.insert(1, module.strided(x(layer - 1, scale - 1)))
        joined = torch.cat(parts, 1)
        return module.transition(joined) if narrowed(layer) else joined

    return [stage.exit(x(end, scales - 1)) for stage, end in zip(net.stages, ends, strict=True)]


@torch.no_grad()
@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize(("kwargs", "ends", "scales"), GRIDS, ids=ids)
def test_logits_are_those_of_a_walk_back_from_the_exits(
    kwargs: dict[str, Any], ends: list[int], scales: int, lazy: bool
) -> None:
    net = small(kwargs, lazy)
    x = torch.randn(2, 3, 35, 46)
    expected = by_hand(net, x, ends, scales, kwargs.get("prune", "max"))
    for out, wanted in zip(net(x), expected, strict=True):
        assert torch.equal(out, wanted)
    assert not torch.allclose(expected[0], expected[-1]) or len(ends) == 1


@torch.no_grad()
@pytest.mark.parametrize(("kwargs", "ends", "scales"), GRIDS, ids=ids)
def test_a_lazy_network_is_the_same_network(
    kwargs: dict[str, Any], ends: list[int], scales: int
) -> None:
    lazy, eager = small(kwargs, lazy=True), small(kwargs, lazy=False)
    modules, others = layers_of(lazy), layers_of(eager)
    assert modules.keys() == others.keys()
    for name, module in modules.items():
        module.load_state_dict(others[name].state_dict())
    for stage, other in zip(lazy.stages, eager.stages, strict=True):
        stage.exit.load_state_dict(other.exit.state_dict())
    x = torch.randn(2, 3, 32, 32)
    for out, wanted in zip(lazy(x), eager(x), strict=True):
        assert torch.equal(out, wanted)


@torch.no_grad()
@pytest.mark.parametrize(("kwargs", "ends", "scales"), GRIDS, ids=ids)
def test_each_stage_runs_what_its_exit_needs_and_earlier_ones_have_not_run(
    kwargs: dict[str, Any], ends: list[int], scales: int
) -> None:
    """Which modules run, and their cost, against those that an exit's value depends on."""
    lazy, eager = small(kwargs), small(kwargs, lazy=False)
    infos = lazy.exit_info(32)
    costs: dict[str, int] = {}
    state = eager.begin(torch.randn(1, 3, 32, 32))
    heads = 0
    needed: set[str] = set()
    for k, stage in enumerate(eager.stages):
        with counting_macs(stage) as count:
            _, state = eager.step(k, state)
        for name, macs in count.by_module.items():
            part, _, inside = name.partition(".")
            if part == "exit":
                heads += macs
            else:
                layer = inside.partition(".")[0]
                costs[layer] = costs.get(layer, 0) + macs
        needed |= depended_on(eager, k)
        assert infos[k].macs == heads + sum(costs.get(layer, 0) for layer in needed)
        ran = {name for name, _ in lazy.stages[k].trunk.named_children()}
        before = {
            name for stage in list(lazy.stages)[:k] for name, _ in stage.trunk.named_children()
        }
        assert ran == needed - before


def depended_on(net: MultiExitNet, k: int) -> set[str]:
    """Names of the modules that get a gradient from exit k."""
    net.zero_grad(set_to_none=True)
    with torch.enable_grad():
        net(torch.randn(1, 3, 32, 32))[k].square().sum().backward()
    names = {
        name
        for name, module in layers_of(net).items()
        if any(p.grad is not None for p in module.parameters())
    }
    net.zero_grad(set_to_none=True)
    return names


@torch.no_grad()
def test_the_state_between_stages() -> None:
    """CIFAR's anytime network: three scales of 32, 16 and 8 px, dropped after 8 and 16 layers.

    Exits come after layers 4, 6, 8, ... 22. A lazy stage has made the middle scale up to the layer
    before its exit's and the finest up to the one before that.
    """

    def shapes(lazy: bool) -> list[list[tuple[int, ...]]]:
        net = create_model("msdnet_cifar10", 10, lazy=lazy).eval()
        state = net.begin(torch.randn(1, 3, 32, 32))
        shapes = []
        for k in range(net.num_exits):
            _, state = net.step(k, state)
            shapes.append([tuple(part.shape[1:3]) for part in state])
        return shapes

    lazy, eager = shapes(True), shapes(False)
    # channels per unit of factor: 16 + 6 per layer, halved by the transitions in layers 9 and 17
    assert lazy[0] == [(16 + 6 * 2, 32), (2 * (16 + 6 * 3), 16), (4 * (16 + 6 * 4), 8)]
    assert eager[0] == [(16 + 6 * 4, 32), (2 * (16 + 6 * 4), 16), (4 * (16 + 6 * 4), 8)]
    assert lazy[2] == [(16 + 6 * 6, 32), (2 * (16 + 6 * 7), 16), (4 * (16 + 6 * 8), 8)]
    narrow = (16 + 6 * 9) // 2
    assert lazy[3] == [(2 * narrow, 16), (4 * (narrow + 6), 8)], "the finest scale is done with"
    assert eager[3] == [(2 * (narrow + 6), 16), (4 * (narrow + 6), 8)]
    for made in (lazy, eager):
        assert [len(part) for part in made] == [3] * 3 + [2] * 4 + [1] * 3


@pytest.mark.parametrize(
    ("name", "image_size", "kwargs"),
    [
        ("msdnet", (32, 32), TINY),
        ("msdnet", (33, 47), TINY | {"lazy": False, "in_chans": 1, "exit_head": "mixed"}),
        ("msdnet", (32, 35), TINY | {"prune": "min", "factors": (1, 2), "dropout": 0.1}),
        ("msdnet", (32, 32), TINY | {"prune": "min", "lazy": False, "exit_head": "pooled"}),
        ("msdnet", (37, 33), TINY | {"mode": "lin_grow", "base": 1, "blocks": 3}),
        ("msdnet", (32, 32), TINY | {"base": 1, "step": 3, "factors": (1, 2, 2, 4)}),
        ("msdnet", (32, 61), TINY | {"stem": "imagenet", "factors": (1, 2, 4, 4), "exits": [2]}),
        ("msdnet", (32, 32), TINY | {"factors": (3,), "exits": "last"}),
        # two scales are left behind the last layer, and the finer one reaches no exit from there
        ("msdnet", (32, 32), TINY | {"base": 1, "step": 1, "blocks": 4}),
        ("rex_msdnet", (32, 32), REX_TINY),
        ("rex_msdnet", (45, 33), REX_TINY | {"lazy": False, "exit_head": "rex"}),
    ],
)
def test_the_contract(name: str, image_size: tuple[int, int], kwargs: dict[str, object]) -> None:
    torch.manual_seed(0)
    check_model(create_model(name, 5, **kwargs), image_size)


@torch.no_grad()
def test_stages_export_with_a_dynamic_batch() -> None:
    net = small({"blocks": 2})
    batch = torch.export.Dim("batch", min=2, max=64)
    state = net.begin(torch.randn(5, 3, 32, 40))
    for k, stage in enumerate(net.stages):
        shapes = {"state": tuple({0: batch} for _ in state)}
        program = torch.export.export(stage, state, dynamic_shapes=shapes).module()
        for rows in (5, 2):
            some = tuple(part[:rows] for part in state)
            for out, wanted in zip(program(*some), stage(*some), strict=True):
                torch.testing.assert_close(out, wanted)
        _, state = net.step(k, state)


@torch.no_grad()
def test_the_network_compiles_in_one_piece() -> None:
    net = small({"blocks": 2})
    x = torch.randn(2, 3, 32, 40)
    torch.compiler.reset()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    for out, wanted in zip(compiled(x), net(x), strict=True):
        torch.testing.assert_close(out, wanted)


@torch.no_grad()
@pytest.mark.parametrize(("name", "kwargs"), [("msdnet", TINY), ("rex_msdnet", REX_TINY)])
def test_autocast(name: str, kwargs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = create_model(name, 3, **kwargs).eval()
    x = torch.randn(2, 3, 32, 40)
    logits = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for out, wanted in zip(net(x), logits, strict=True):
            assert out.dtype == torch.bfloat16
            assert (out - wanted).abs().max() <= 0.05 * wanted.abs().max() + 0.01


@pytest.mark.parametrize(
    ("kwargs", "count"),
    [({}, 10), ({"exits": "all"}, 10), ({"exits": "last"}, 1), ({"exits": [0, 5]}, 3)],
)
def test_exits(kwargs: dict[str, Any], count: int) -> None:
    net = create_model("msdnet_cifar10", 10, **kwargs)
    assert net.num_exits == count
    assert net.stages[-1].exit.classifier.in_features == 128


def test_heads() -> None:
    net = create_model("msdnet", 10, **TINY, exit_head=["pooled", "conv", "mixed", "pooled"])
    assert [type(stage.exit).__name__ for stage in net.stages] == [
        "PooledExit",
        "ConvExit",
        "MixedPoolExit",
        "PooledExit",
    ]
    net = create_model("msdnet", 10, **TINY, exit_head="pooled", exit_width=24)
    assert [type(stage.exit).__name__ for stage in net.stages[2:]] == ["PooledExit", "ConvExit"]
    assert net.stages[-1].exit.classifier.in_features == 24


def test_names() -> None:
    assert list_models("*msdnet*") == [
        "msdnet",
        "msdnet_cifar10",
        "msdnet_cifar100",
        "msdnet_cifar_batch5",
        "msdnet_cifar_batch7",
        "msdnet_imagenet",
        "msdnet_imagenet_step5",
        "msdnet_imagenet_step6",
        "msdnet_imagenet_step7",
        "rex_msdnet",
    ]


def test_state_dict_names_are_stable() -> None:
    names = create_model("msdnet_imagenet", 10, width=2, growth=2).state_dict().keys()
    assert {
        "stages.0.trunk.scale0_layer0.stem.conv.bias",
        "stages.0.trunk.scale3_layer0.norm.weight",
        "stages.0.trunk.scale0_layer1.normal.reduce.conv.weight",
        "stages.1.trunk.scale1_layer6.strided.conv.norm.running_mean",
        "stages.1.trunk.scale1_layer6.transition.conv.weight",
        "stages.4.exit.convs.1.conv.weight",
        "stages.4.exit.classifier.bias",
    } <= set(names)
    for form, place in (("paper", "rex"), ("mingru", "rex.rex")):
        rex = create_model("rex_msdnet", 10, **REX_TINY, rex_form=form).state_dict().keys()
        assert f"stages.0.trunk.scale0_layer0.{place}.linear.weight" in rex


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("msdnet", {"stem": "mnist"}, "stem='mnist'; one of 'imagenet', 'cifar'"),
        ("msdnet", {"mode": "odd"}, "mode='odd'; one of 'even', 'lin_grow'"),
        ("msdnet", {"prune": "mid"}, "prune='mid'; one of 'max', 'min'"),
        ("msdnet", {"base": 0}, "base=0; give a whole number"),
        ("msdnet", {"step": 1.5}, r"step=1.5"),
        ("msdnet", {"blocks": 0}, "blocks=0"),
        ("msdnet", {"width": 0}, "width=0"),
        ("msdnet", {"growth": -6}, "growth=-6"),
        ("msdnet", {"factors": ()}, r"factors=\(\); give whole numbers"),
        ("msdnet", {"factors": (1, 0)}, r"factors=\(1, 0\)"),
        ("msdnet", {"growth": 3, "factors": (1, 2, 3)}, r"factors=\(1, 2, 3\).*must be even"),
        ("msdnet", {"reduction": 0}, "reduction=0; give a share above 0"),
        ("msdnet", {"reduction": 1.5}, "reduction=1.5"),
        ("msdnet", {"reduction": 0.01}, "reduction=0.01 leaves none of 70 channels at layer 9"),
        ("msdnet", {"exit_width": 0}, "exit_width=0"),
        ("msdnet", {"exits": [10]}, "no block 10; positions 0 to 9"),
        ("msdnet", {"exits": "some"}, "exits='some'; one of paper, all, last"),
        ("msdnet", {"exit_head": "max"}, "'max'"),
        ("msdnet", {"exit_head": ["conv"]}, "1 kinds for 10 exits"),
        ("rex_msdnet", {"width": 30, "factors": (1, 2, 2)}, "width=30.*multiple of 8"),
        ("rex_msdnet", {"stem": "cifar"}, "stem"),
    ],
)
def test_wrong_arguments(name: str, kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        create_model(name, 10, **kwargs)
