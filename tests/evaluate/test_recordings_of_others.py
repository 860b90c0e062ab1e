"""Logits that anything recorded, and recordings of plain batches."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import exeunt
from exeunt import Confidence, ExeuntError, ExeuntWarning, ExitTable
from exeunt.calibrate import budgeted_curves
from exeunt.chain import Block, chain
from exeunt.evaluate import NOT_STATED, weights_fingerprint
from exeunt.net import MultiExitNet
from exeunt.ops.exits import make_exit

LOGITS = torch.tensor([[[2.0, 0.5], [0.25, 1.0], [0.0, 4.0]], [[3.0, 0.0], [2.0, 1.0], [0.5, 5.0]]])
TARGETS = [0, 0, 1]


def small_net(outputs: int = 3) -> MultiExitNet:
    torch.manual_seed(0)
    blocks = [Block("a", nn.Conv2d(3, 4, 3, 2), 4), Block("b", nn.Conv2d(4, 4, 3), 4)]
    return MultiExitNet(
        chain(blocks, [0], lambda _, channels: make_exit("pooled", channels, outputs)), outputs
    ).eval()


def bfloat16(values: np.ndarray) -> np.ndarray:
    return values.astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    "logits",
    [
        LOGITS,
        LOGITS.double().requires_grad_(),
        LOGITS.bfloat16(),
        [*LOGITS],
        LOGITS.numpy(),
        LOGITS.double().numpy(),
        tuple(LOGITS.half().double().numpy()),
        bfloat16(LOGITS.numpy()),
        LOGITS.tolist(),
    ],
    ids=["torch", "float64", "bfloat16", "list", "numpy", "numpy64", "tuple", "numpy16", "lists"],
)
def test_logits_of_any_make_are_one_table(logits: Any) -> None:
    table = ExitTable.from_logits(logits, TARGETS, [10, 40])
    assert table.logits.dtype == torch.float32
    assert torch.equal(table.logits, LOGITS)
    assert (table.task, table.exit_macs, table.names) == ("classification", (10, 40), tuple("012"))
    assert (table.split, table.weights_fingerprint, table.data_fingerprint) == (NOT_STATED,) * 3
    outcome = exeunt.replay(table, Confidence(0.8))
    assert outcome.exit_index.tolist() == [0, 1, 0]  # 0.82, 0.68 and 0.98
    assert outcome.accuracy == 1
    assert outcome.mean_macs == 20


def test_float16_stays_and_files_keep_what_is_unknown(tmp_path: Path) -> None:
    table = ExitTable.from_logits(LOGITS.half(), np.array(TARGETS, np.uint8), np.array([1, 2]))
    assert table.logits.dtype == torch.float16
    exeunt.save_table(tmp_path / "t.exits", table)
    again = exeunt.load_table(tmp_path / "t.exits")
    assert torch.equal(again.logits, table.logits)
    assert (again.split, again.exit_macs) == (NOT_STATED, (1, 2))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_values_are_regression(shape: tuple[int, ...]) -> None:
    values = np.arange(6.0).reshape(shape)
    table = ExitTable.from_logits(values, [0, 1, 2], [1, 2])
    assert (table.task, table.logits.shape) == ("regression", (2, 3, 1))
    assert table.targets.dtype == torch.float32
    assert exeunt.replay(table, exeunt.Full()).mae == 3


@pytest.mark.parametrize(
    ("logits", "targets", "costs", "message"),
    [
        (LOGITS.long(), TARGETS, [1, 2], "logits must be floating-point numbers, not torch.int64"),
        ([LOGITS[0], LOGITS[1, :2]], TARGETS, [1, 2], r"all of one shape, got .*\(2, 2\)\]"),
        ([], TARGETS, [1, 2], r"\(N K\) for each exit"),
        ("logits.pt", TARGETS, [1, 2], "logits: no array of numbers can be made of this str"),
        (LOGITS, [0.0, 1.0, 1.0], [1, 2], "class indices, whole numbers, not torch.float64"),
        (LOGITS, [0, 1], [1, 2], "3 samples need as many targets"),
        (LOGITS, TARGETS, [1, 2, 3], r"one number per exit \(2\)"),
        (LOGITS, TARGETS, [0.25, 1], "0.25 is none; give shares"),
        (LOGITS, TARGETS, [1, float("inf")], "must be finite"),
        (LOGITS.double() * 1e300, TARGETS, [1, 2], r"a logit of 5e\+300 does not fit float32"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused(
    logits: Any, targets: Any, costs: Any, message: str
) -> None:
    with pytest.raises(ExeuntError, match=message):
        ExitTable.from_logits(logits, targets, costs)


def test_policies_are_chosen_with_a_warning_where_the_split_is_unknown() -> None:
    many = LOGITS.repeat(1, 20, 1)
    table = ExitTable.from_logits(many, TARGETS * 20, [10, 40])
    with pytest.warns(ExeuntWarning, match="does not say which split"):
        exeunt.choose_policy(table)
    said = ExitTable.from_logits(many, TARGETS * 20, [10, 40], split="calibration")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exeunt.choose_policy(said)
        test = ExitTable.from_logits(many, TARGETS * 20, [10, 40], split="test")
        assert budgeted_curves(said, test), "unknown fingerprints tell no two tables apart"
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        exeunt.choose_policy(test)


def test_a_data_loader_is_recorded() -> None:
    net, images = small_net().train(), torch.randn(7, 3, 12, 12)
    targets = torch.tensor([0, 1, 2, 0, 1, 2, 0], dtype=torch.int32)
    loader = DataLoader(TensorDataset(images, targets), batch_size=3)
    table = exeunt.record(net, loader)
    assert net.training
    assert torch.equal(table.targets, targets.long())
    with torch.no_grad():
        torch.testing.assert_close(table.logits, torch.stack(net.eval()(images)))
    assert table.exit_macs == tuple(info.macs for info in net.exit_info(12))
    assert (table.task, table.split, table.names[-1]) == ("classification", NOT_STATED, "6")
    assert table.weights_fingerprint == weights_fingerprint(net)
    other = exeunt.record(net, DataLoader(TensorDataset(images + 1e-6, targets), batch_size=3))
    assert len(table.data_fingerprint) == 32
    assert table.data_fingerprint != other.data_fingerprint
    named = exeunt.record(net, loader, names=list("abcdefg"), split="test", exit_macs=[1, 2])
    assert (named.names, named.split, named.exit_macs) == (tuple("abcdefg"), "test", (1, 2))


def test_values_may_lie_in_a_column() -> None:
    images, values = torch.randn(4, 3, 12, 12), torch.arange(4.0).double().unsqueeze(1)
    table = exeunt.record(small_net(1), [(images, values)])
    assert table.task == "regression"
    assert table.targets.tolist() == [0, 1, 2, 3]


X, Y = torch.zeros(2, 3, 12, 12), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("batches", "names", "message"),
    [
        ([], None, "the loader gave no samples"),
        ([X], None, "a pair of tensors, .* not a Tensor"),
        ([(X, Y, Y)], None, "not a tuple of Tensor,Tensor,Tensor"),
        ([{"image": X, "label": Y}], None, "not a dict"),
        ([(X, [0, 1])], None, "not a tuple of Tensor,list"),
        ([(X, Y[:1])], None, r"2 images need one target each, got shape \(1,\)"),
        ([(X, Y), (X, Y)], ["a", "b", "c"], "3 names for 4 samples"),
        ([(X, Y), (X[..., :9, :], Y)], None, r"images of 9 x 12 pixels after others of 12 x 12"),
        ([(X, Y.float())], None, "targets of classification must be torch.int64"),
        ([(X * float("nan"), Y)], None, "the logits of sample 0 are not finite"),
    ],
)
def test_what_is_no_batch_is_refused(batches: Any, names: Any, message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        exeunt.record(small_net(), batches, names=names)


class Wrapped(nn.Module):
    """As `DistributedDataParallel` holds a network."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> list[Tensor]:
        logits: list[Tensor] = self.module(x)
        return logits


@pytest.mark.parametrize(
    "wrap", [Wrapped, lambda net: torch.compile(net, backend="eager")], ids=["ddp", "compiled"]
)
def test_wrapped_networks_are_recorded_and_run(wrap: Any) -> None:
    net, images = small_net(), torch.randn(4, 3, 12, 12)
    batches = [(images, torch.arange(4) % 3)]
    table, wrapped = exeunt.record(net, batches), exeunt.record(wrap(net), batches)
    torch.testing.assert_close(wrapped.logits, table.logits)
    assert wrapped.weights_fingerprint == table.weights_fingerprint
    policy = Confidence(0.35)
    found = exeunt.infer(wrap(net).eval(), images, policy)
    assert torch.equal(found.exit_index, exeunt.infer(net, images, policy).exit_index)
    with pytest.raises(ExeuntError, match="a Linear is no network with exits"):
        exeunt.record(nn.Linear(1, 1), batches)
