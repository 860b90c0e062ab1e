from __future__ import annotations

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.collaboration import CollaborativeExit, collaborate
from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.inference import infer
from exeunt.models import create_model
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import PooledExit
from exeunt.policies import Confidence
from exeunt.training.equilibrium import gradient_equilibrium

SMALL = {
    "rex_mobilenetv2_035": {},
    "msdnet_cifar10": {"blocks": 3, "width": 4, "growth": 2, "exit_width": 8},
    "ranet_cifar10": {"width": 4, "growth": 4, "step": 1, "exit_width": 8},
}


@pytest.mark.parametrize("name", SMALL)
def test_collaborating_networks_keep_the_contract(name: str) -> None:
    torch.manual_seed(0)
    net = create_model(name, 4, collaborative=True, **SMALL[name])
    check_model(net, (33, 40))


@torch.no_grad()
def test_logits_by_the_formula() -> None:
    """Exit i classifies [f_i, relu(norm(W y_{i-1} + b))]; the first is as it was."""
    torch.manual_seed(0)
    plain = attach_exits(nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 6, 3)), [0], 4).eval()
    trunks = [stage.trunk for stage in plain.stages]
    x = torch.randn(7, 3, 9, 9)
    first = plain(x)[0]
    net = collaborate(plain).eval()
    head = net.stages[1].exit
    nn.init.normal_(head.norm.running_mean)
    nn.init.uniform_(head.norm.running_var, 0.5, 2)
    feature = trunks[1](trunks[0](x)).mean((2, 3))
    read, norm = head.read, head.norm
    told = first @ read.weight.T + read.bias
    told = ((told - norm.running_mean) / (norm.running_var + norm.eps).sqrt()).relu()
    expected = torch.cat((feature, told), 1) @ head.classifier.weight.T + head.classifier.bias
    got = net(x)
    torch.testing.assert_close(got[0], first)
    torch.testing.assert_close(got[1], expected)


def test_samples_leave_with_their_own_logits() -> None:
    torch.manual_seed(0)
    net = create_model("resnet_cifar", 4, depth=14, width=4, collaborative=True).eval()
    x = torch.randn(9, 3, 32, 32)
    whole = infer(net, x, Confidence(0.27))
    assert len(set(whole.exit_index.tolist())) > 1
    for i in range(len(x)):
        one = infer(net, x[i : i + 1], Confidence(0.27))
        assert one.exit_index == whole.exit_index[i]
        torch.testing.assert_close(one.logits[0], whole.logits[i])


def test_new_classes_and_new_units() -> None:
    torch.manual_seed(0)
    net = create_model("resnet_cifar", 1, depth=8, width=4, collaborative=True).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    x = torch.randn(3, 3, 16, 16)
    before = net(x)
    for stage in net.stages:
        stage.exit.rescale(40.0, -7.0)
    for old, new in zip(before, net(x), strict=True):
        torch.testing.assert_close(new, 40 * old - 7, rtol=1e-4, atol=1e-3)
    net.reset_exits(5)
    assert [out.shape for out in net(x)] == [(3, 5)] * net.num_exits


def test_gradient_equilibrium_reaches_the_features() -> None:
    torch.manual_seed(0)
    net = create_model("resnet_cifar", 4, depth=8, width=4, exits=[0, 1], collaborative=True)
    x = torch.randn(4, 3, 16, 16)
    seen: list[torch.Tensor] = []
    hook = net.stages[0].trunk.register_forward_hook(
        lambda module, inputs, out: (out.register_hook(seen.append), None)[1]
    )
    for balance in (False, True):
        net.zero_grad()
        if balance:
            with gradient_equilibrium(net):
                net(x)[0].sum().backward()
        else:
            net(x)[0].sum().backward()
    hook.remove()
    torch.testing.assert_close(seen[1], seen[0] / 3)


def test_what_cannot_collaborate() -> None:
    class Other(Stage):
        pass

    for stages in (
        [Other(nn.Identity(), PooledExit(3, 2))],
        [Stage(nn.Identity(), nn.Flatten())],
    ):
        with pytest.raises(ExeuntError, match=r"collaborate: stages\.0 is a"):
            collaborate(MultiExitNet(stages, 2))
    assert isinstance(
        create_model("resnet_cifar", 2, depth=8, collaborative=True).stages[1].exit,
        CollaborativeExit,
    )
