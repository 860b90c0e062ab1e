from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import PooledExit


def small_backbone() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()),
        nn.Conv2d(8, 12, 3, 1, 1),
        nn.Sequential(nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1)),
    )


class Residual(nn.Sequential):
    """Looks like a Sequential, but does not run like one."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def nested_backbone() -> nn.Sequential:
    """Named and nested as the usual pretrained nets are, with one ReLU that is used twice."""
    relu = nn.ReLU()
    layer1 = nn.Sequential(Residual(nn.Conv2d(8, 8, 3, 1, 1)), nn.Conv2d(8, 8, 3, 1, 1), relu)
    layer2 = nn.Sequential(
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.Sequential(nn.Conv2d(12, 10, 1), relu, nn.Conv2d(10, 16, 3, 1, 1)),
        nn.Conv2d(16, 16, 1),
    )
    return nn.Sequential(
        OrderedDict(conv1=nn.Conv2d(3, 8, 3, 2, 1), relu=relu, layer1=layer1, layer2=layer2)
    )


class TwoScales(MultiExitNet):
    """A state of two tensors: what multi-scale nets need."""

    def __init__(self) -> None:
        class Split(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fine, self.coarse = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 2, 2)

            def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
                return self.fine(x), self.coarse(x)

        class Merge(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.down = nn.Conv2d(4, 6, 2, 2)

            def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
                return fine, coarse + self.down(fine)

        super().__init__([Stage(Split(), PooledExit(6, 5)), Stage(Merge(), PooledExit(6, 5))], 5)


@pytest.mark.parametrize("at", [[], [0], [0, 1], ["1"], [-3, "1"]])
def test_attached_nets_keep_the_contract(at: list[int | str]) -> None:
    net = attach_exits(small_backbone(), at, num_classes=4)
    assert net.num_exits == len(at) + 1
    check_model(net, (32, 40))


def test_a_state_of_several_tensors_keeps_the_contract() -> None:
    check_model(TwoScales(), 16)


def test_attached_stages_compute_the_backbone() -> None:
    backbone = small_backbone()
    x = torch.randn(2, 3, 32, 32)
    net = attach_exits(backbone, [0], num_classes=4)
    state = net.begin(x)
    for k in range(2):
        _, state = net.step(k, state)
    torch.testing.assert_close(state[0], backbone(x))
    assert net.stages[1].trunk[0] is backbone[1], "modules are used, not copied"


@pytest.mark.parametrize(
    ("at", "channels"),
    [
        (["layer1.1"], [8, 16]),
        (["layer2.1.0", "layer1", 0], [8, 8, 10, 16]),
        (["layer2.1", "layer2.1.2", "layer2.0"], [12, 16, 16]),
        (["layer2.2", "layer1.0", -1], [8, 16]),
        (["layer1.0.0"], [8, 16]),
    ],
)
def test_taps_inside_nested_sequentials(at: list[int | str], channels: list[int]) -> None:
    torch.manual_seed(0)
    backbone = nested_backbone().eval()
    x = torch.randn(2, 3, 32, 32)
    net = attach_exits(backbone, at, num_classes=4)
    assert [info.channels for info in net.exit_info(32)] == channels
    state = net.begin(x)
    for k in range(net.num_exits):
        _, state = net.step(k, state)
    torch.testing.assert_close(state[0], backbone(x))
    check_model(net, (32, 40))


def test_nested_taps_keep_the_names_and_the_modules() -> None:
    backbone = nested_backbone()
    net = attach_exits(backbone, ["layer2.1.0"], num_classes=4)
    ours = {
        name.partition(".trunk.")[2]: part
        for name, part in net.named_parameters(remove_duplicate=False)
        if ".trunk." in name
    }
    assert ours.keys() == dict(backbone.named_parameters()).keys()
    assert all(ours[name] is part for name, part in backbone.named_parameters())
    names = [name for name, _ in net.stages[1].trunk.named_children()]
    assert names == ["layer2"]
    assert list(net.stages[1].trunk.layer2._modules) == ["1", "2"]


def test_exit_info_by_hand() -> None:
    net = attach_exits(small_backbone(), [0], num_classes=4)
    first, second = net.exit_info((32, 40))
    trunk1 = 8 * 27 * 16 * 20
    head1 = 8 * 4
    trunk2 = 12 * 72 * 16 * 20 + 16 * 108 * 8 * 10
    head2 = 16 * 4
    assert (first.channels, first.reduction, first.module) == (8, 2, "stages.0.exit")
    assert first.macs == trunk1 + head1
    assert (second.channels, second.reduction) == (16, 4)
    assert second.macs == trunk1 + head1 + trunk2 + head2


def test_exit_info_leaves_mode_and_statistics_alone() -> None:
    net = attach_exits(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), [], 3).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.exit_info(16)
    assert all(module.training for module in net.modules())
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_exit_info_refuses_what_it_cannot_count() -> None:
    class Far(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.cdist(x, x[:, :, :1]).mean()

    net = attach_exits(nn.Sequential(Far()), [], 3)
    with pytest.raises(ExeuntError, match=r"stages\.0\.trunk\.0 \(aten\._cdist.*HANDLERS"):
        net.exit_info(16)


def test_reset_exits() -> None:
    net = attach_exits(small_backbone(), [0], num_classes=4)
    net.reset_exits(7)
    assert net.num_classes == 7
    assert [out.shape for out in net(torch.randn(2, 3, 32, 32))] == [(2, 7), (2, 7)]
    with pytest.raises(ExeuntError, match="num_classes=0"):
        net.reset_exits(0)


def test_reset_exits_changes_nothing_when_one_exit_cannot() -> None:
    net = attach_exits(small_backbone(), [0], num_classes=4)
    net.stages[1].exit = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    first = net.stages[0].exit.classifier
    with pytest.raises(ExeuntError, match=r"stages\.1\.exit \(Sequential\)"):
        net.reset_exits(7)
    assert net.stages[0].exit.classifier is first


@pytest.mark.parametrize(
    ("backbone", "at", "message"),
    [
        (small_backbone(), [3], "no child 3; positions 0 to 2"),
        (small_backbone(), ["stem"], "no child 'stem'.*names 0, 1, 2"),
        (nn.Sequential(), [], "no children"),
        (nested_backbone(), ["layer2.3"], "no module 'layer2.3'; 'layer2' has 0, 1, 2$"),
        (nested_backbone(), ["layer3.0"], "no child 'layer3.0'.*names conv1, relu, layer1, layer2"),
        (nested_backbone(), ["layer2.1.0.weight"], "no module 'layer2.1.0.weight'; .* has none"),
        (nn.Conv2d(3, 3, 1), [0], "backbone .Conv2d. has no children"),
    ],
)
def test_attach_exits_refuses(backbone: nn.Sequential, at: list[int | str], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        attach_exits(backbone, at, 4)


def test_begin_names_the_wrong_shape() -> None:
    net = attach_exits(small_backbone(), [], 4)
    with pytest.raises(ExeuntError, match=r"\(2, 1, 32, 32\); expected \(N, 3, H, W\)"):
        net(torch.randn(2, 1, 32, 32))


def test_a_net_needs_a_stage() -> None:
    with pytest.raises(ExeuntError, match="no stage"):
        MultiExitNet([], 3)


class Broken(MultiExitNet):
    """Breaks one rule of the contract."""

    def __init__(self, rule: str) -> None:
        attached = attach_exits(small_backbone(), [0], num_classes=4)
        super().__init__([stage for stage in attached.stages if isinstance(stage, Stage)], 4)
        self.rule = rule
        self.unused = nn.Parameter(torch.ones(1)) if rule == "gradient" else None

    def step(self, k: int, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        logits, state = super().step(k, state)
        if self.rule == "rows" and not self.training:
            logits = logits + len(logits)
        return logits, state

    def forward(self, x: Tensor) -> list[Tensor]:
        out = super().forward(x)
        if self.rule == "stepwise":
            out[1] = out[1] + 1
        if self.rule == "count":
            out = out[:1]
        return out


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("rows", "exit 1: after 1 rows left differ by 1"),
        ("stepwise", "exit 1: step and forward"),
        ("count", "1 logits for 2 exits"),
        ("gradient", "unused gets no gradient"),
    ],
)
def test_check_model_catches(rule: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(Broken(rule), 32)


def test_check_model_catches_a_state_that_is_not_batch_first() -> None:
    class Tail(nn.Module):
        def forward(self, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            return torch.zeros(7), x

    net = MultiExitNet(
        [Stage(nn.Conv2d(3, 4, 1), PooledExit(4, 2)), Stage(Tail(), PooledExit(4, 2))], 2
    )
    with pytest.raises(AssertionError, match=r"state\[0\] has 7 rows, expected 3"):
        check_model(net, 8)
