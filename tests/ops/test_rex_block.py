from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.models.downsample import make_downsample
from exeunt.ops.recurrence import CELLS, start_recurrent
from exeunt.ops.rex import ReX2d
from exeunt.ops.rex_block import ReXBlock, ReXForm, make_rex


def test_the_paper_has_nothing_around_rex() -> None:
    torch.manual_seed(0)
    ours = make_rex(8, 32, stride=4)
    torch.manual_seed(0)
    paper = ReX2d(8, hidden1=16, hidden2=4, patch_size=6, stride=4)
    assert type(ours) is ReX2d
    for name, value in paper.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


@pytest.mark.parametrize("size", [(24, 24), (25, 30)])
def test_the_parts_are_norm_pooled_path_and_activation(size: tuple[int, int]) -> None:
    form = {"norm": True, "pooled": True, "act": True, "hidden1": 8, "patch_size": 8}
    block = make_rex(8, 32, stride=4, form=form).eval()
    assert isinstance(block, ReXBlock)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.running_mean)
    x = torch.randn(2, 8, *size)
    _, conv, norm = block.pooled
    padded = F.pad(x, (0, -size[1] % 4, 0, -size[0] % 4))
    inside = F.pad(torch.ones(1, 1, *size), (0, -size[1] % 4, 0, -size[0] % 4))
    average = F.avg_pool2d(padded, 4) / F.avg_pool2d(inside, 4)  # of the pixels that there are
    expected = (block.norm(block.rex(x)) + norm(conv(average))).clamp(0, 6)
    torch.testing.assert_close(block(x), expected)
    assert (block.rex.hidden1, block.rex.patch_size) == (8, (8, 8))


def test_blocks_behind_are_added_to_what_rex_gives() -> None:
    block = make_rex(8, 32, {"norm": True, "blocks": 2}).eval()
    assert isinstance(block, ReXBlock)
    x = torch.randn(2, 8, 24, 24)
    out = block.norm(block.rex(x))
    for behind in block.blocks:
        convs = [m.weight for m in behind.modules() if isinstance(m, nn.Conv2d)]
        assert [w.shape for w in convs] == [(96, 32, 1, 1), (96, 1, 3, 3), (32, 96, 1, 1)]
        hidden = behind.depthwise(behind.expand(out))
        out = out + behind.project(hidden)
    torch.testing.assert_close(block(x), out)


@pytest.mark.parametrize("cell", CELLS)
def test_cells_are_started_to_remember(cell: str) -> None:
    rex = ReX2d(16, 8, 4, 6, 4, cell=cell)
    before = {name: value.clone() for name, value in rex.state_dict().items()}
    start_recurrent(rex)
    after = rex.state_dict()
    assert torch.equal(after["linear.weight"], before["linear.weight"])
    if cell == "fastgrnn":
        assert all(torch.equal(value, before[name]) for name, value in after.items())
        return
    for gate in after["rnn1.weight_ih_l0"].chunk(CELLS[cell].gates):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8))
    if cell == "rnn":
        assert not after["rnn2.bias_ih_l0_reverse"].any()
        return
    # From a state of ones and an input of zeros, what is kept is sigmoid(1) of the state, since
    # candidates are 0: for the LSTM, of its memory.
    kept = torch.sigmoid(torch.tensor(1.0))
    if cell == "mingru":
        update = torch.sigmoid(after["rnn1.bias_ih_l0"][:8])
        torch.testing.assert_close(1 - update, kept.expand(8))
    elif cell == "lstm":
        for name, value in after.items():
            if "weight" in name and name.startswith("rnn1"):
                value.zero_()
        single = nn.LSTM(16, 8)
        single.load_state_dict(
            {k.removeprefix("rnn1."): v for k, v in after.items() if "rnn1" in k}
        )
        _, (_, memory) = single(torch.zeros(1, 1, 16), (torch.ones(1, 1, 8),) * 2)
        torch.testing.assert_close(memory, kept.expand(1, 1, 8))
    else:
        single_gru = nn.GRU(16, 8)
        zeros = {k.removeprefix("rnn1."): v for k, v in after.items() if "rnn1" in k}
        zeros["weight_hh_l0"] = torch.zeros(24, 8)
        single_gru.load_state_dict(zeros)
        _, state = single_gru(torch.zeros(1, 1, 16), torch.ones(1, 1, 8))
        torch.testing.assert_close(state, kept.expand(1, 1, 8))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("papre", "unknown form of ReX 'papre'; one of paper, mingru"),
        ({"sell": "gru"}, "unknown key 'sell'; one of cell"),
        ({"norm": 1}, "norm=1; give a bool"),
        ({"stride": 4.0}, "stride=4.0; give an int"),
        ({"blocks": -1}, "blocks=-1; give 0 or more"),
    ],
)
def test_forms_that_are_not_there(form: Any, message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        make_rex(8, 32, form)


NETS: dict[str, dict[str, Any]] = {
    "rex_mobilenetv2_035": {},
    "rex_resnet34": {"layers": (1, 1, 1), "widths": (16, 16, 16)},
    "rex_densenet121": {"layers": (1, 1, 2, 2), "growth": 8, "width": 16},
    "rex_msdnet": {"blocks": 2, "width": 8},
}


@pytest.mark.parametrize("name", NETS)
def test_a_network_takes_a_form(name: str) -> None:
    net = create_model(name, num_classes=4, rex_form="mingru", **NETS[name]).eval()
    assert ReXForm.of("mingru") == ReXForm.of({"cell": "mingru", "norm": True, "remember": True})
    plain = create_model(name, num_classes=4, rex_form="paper", **NETS[name])
    assert any("rex.norm" in key for key in net.state_dict())
    assert not any("rex.norm" in key for key in plain.state_dict())
    assert [out.shape for out in net(torch.randn(2, 3, 64, 64))] == [(2, 4)] * net.num_exits
    assert net.exit_info(64)[0].macs < plain.exit_info(64)[0].macs


@pytest.mark.parametrize(
    ("form", "channels", "size"),
    [
        ({"stride": 6}, 32, 4),
        ({"patch_size": 12}, 32, 6),
        ({"hidden1": 8}, 32, 6),
        ({"hidden2": 8}, 64, 6),
        ({"use_global": False}, 16, 6),
        ({"use_rows": False}, 24, 6),
        ({"use_cols": False, "norm": True}, 24, 6),
    ],
)
def test_the_ablations_of_table_4(form: dict[str, Any], channels: int, size: int) -> None:
    block = make_rex(8, 32, form)
    assert block.out_channels == channels
    assert block(torch.randn(1, 8, 24, 24)).shape == (1, channels, size, size)
    net = create_model("rex_mobilenetv2_050", num_classes=4, rex_form=form)
    assert len(net(torch.randn(2, 3, 64, 64))) == 6


def test_channels_that_a_network_cannot_take() -> None:
    with pytest.raises(ExeuntError, match="gives 128 channels; the finest scale has 64"):
        create_model("rex_msdnet", rex_form={"hidden2": 16})


def test_space_to_depth() -> None:
    """Pixels of 4x4 squares as channels, and a 1x1 convolution over them."""
    block = make_downsample("space_to_depth", 3, 16).module.eval()
    x = torch.randn(2, 3, 12, 20)
    weight = block.conv.weight.flatten(1)[:, :, None, None]
    expected = F.conv2d(F.pixel_unshuffle(x, 4), weight)
    torch.testing.assert_close(block(x), block.act(block.norm(expected)))
