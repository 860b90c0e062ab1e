"""Recording, and what replay counts, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.evaluate import (
    ExitTable,
    default_policies,
    exit_rows,
    record,
    replay,
    sweep,
    weights_fingerprint,
)
from exeunt.inference import infer
from exeunt.net import MultiExitNet, Stage
from exeunt.policies import (
    Confidence,
    Consistency,
    Entropy,
    Full,
    TopProbability,
    check_policy,
)


def tiny_net(outputs: int = 3) -> MultiExitNet:
    """Three stages with batch norm, for images of 4 channels and one pixel."""
    return MultiExitNet(
        [
            Stage(
                nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
                nn.Sequential(nn.Flatten(), nn.Linear(4, outputs)),
            )
            for _ in range(3)
        ],
        num_classes=outputs,
        in_chans=4,
    )


@dataclass
class FakeBatch:
    images: Tensor
    targets: Tensor
    indices: Tensor


def make_table(
    logits: Tensor, targets: Tensor, exit_macs: tuple[int, ...], split: str = "calibration"
) -> ExitTable:
    return ExitTable(
        logits=logits,
        targets=targets,
        task="regression" if logits.shape[2] == 1 else "classification",
        exit_macs=exit_macs,
        names=tuple(f"{row}.png" for row in range(len(targets))),
        split=split,
        weights_fingerprint="w",
        data_fingerprint="d",
    )


@pytest.fixture
def classes() -> ExitTable:
    """Four samples, three exits; winning classes below, targets 0 1 2 0."""
    winning = torch.tensor([[0, 0, 2, 1], [0, 1, 1, 2], [1, 1, 1, 1]])
    return make_table(
        logits=nn.functional.one_hot(winning, 3).float(),
        targets=torch.tensor([0, 1, 2, 0]),
        exit_macs=(100, 250, 1000),
    )


@pytest.fixture
def values() -> ExitTable:
    """Two samples, three exits, targets 1 and 4."""
    return make_table(
        logits=torch.tensor([[0.0, 2.0], [0.5, 5.0], [1.5, 5.0]]).unsqueeze(2),
        targets=torch.tensor([1.0, 4.0]),
        exit_macs=(10, 20, 40),
    )


def test_replay_of_consistency_by_hand(classes: ExitTable) -> None:
    outcome = replay(classes, Consistency(1))
    # sample 0 agrees at exit 1, the others flip there and go to the last exit
    assert outcome.exit_index.tolist() == [1, 2, 2, 2]
    assert outcome.logits.argmax(dim=1).tolist() == [0, 1, 1, 1]
    assert outcome.accuracy == 0.5
    assert outcome.mae is None
    assert outcome.rmse is None
    assert outcome.mean_macs == (250 + 3 * 1000) / 4
    assert outcome.saving == pytest.approx(1 - 812.5 / 1000)
    assert outcome.exit_shares == (0.0, 0.25, 0.75)


def test_full_saves_nothing(classes: ExitTable) -> None:
    outcome = replay(classes, Full())
    assert outcome.accuracy == 0.25
    assert outcome.saving == 0.0
    assert outcome.exit_shares == (0.0, 0.0, 1.0)


def test_leaving_at_once_costs_the_first_exit(classes: ExitTable) -> None:
    outcome = replay(classes, Confidence(0.0))
    assert outcome.accuracy == 0.5
    assert outcome.mean_macs == 100
    assert outcome.saving == pytest.approx(0.9)


def test_replay_of_regression_by_hand(values: ExitTable) -> None:
    outcome = replay(values, Consistency(1, eta=1.0))
    # |0.5 - 0| < 1 at exit 1; |5 - 2| is not, so sample 1 takes the last exit
    assert outcome.exit_index.tolist() == [1, 2]
    assert outcome.accuracy is None
    assert outcome.mae == pytest.approx((0.5 + 1) / 2)
    assert outcome.rmse == pytest.approx(math.sqrt((0.25 + 1) / 2))
    assert outcome.mean_macs == 30


def test_exit_rows_of_classes_by_hand(classes: ExitTable) -> None:
    rows = exit_rows(classes)
    assert [row.index for row in rows] == [0, 1, 2]
    assert [row.macs for row in rows] == [100, 250, 1000]
    assert [row.accuracy for row in rows] == [0.5, 0.5, 0.25]
    # samples 0 and 2 are right at exit 0, sample 1 from exit 1 on, sample 3 never
    assert [row.oracle for row in rows] == [0.5, 0.75, 0.75]
    confidence = math.e / (math.e + 2)
    assert [row.mean_confidence for row in rows] == pytest.approx([confidence] * 3)
    assert rows[0].mae is None


def test_exit_rows_of_regression_by_hand(values: ExitTable) -> None:
    rows = exit_rows(values)
    assert [row.mae for row in rows] == pytest.approx([1.5, 0.75, 0.75])
    assert rows[0].rmse == pytest.approx(math.sqrt((1 + 4) / 2))
    assert rows[0].accuracy is None
    assert rows[0].oracle is None


def test_sweep_keeps_the_order(classes: ExitTable) -> None:
    policies = [Consistency(2), Full(), Confidence(0.9)]
    assert [outcome.policy for outcome in sweep(classes, policies)] == policies


def test_default_policies_of_classes(classes: ExitTable) -> None:
    policies = default_policies(classes)
    assert policies[:3] == [Full(), Consistency(1), Consistency(2)]
    assert Confidence(0.95) in policies
    entropies = [policy.threshold for policy in policies if isinstance(policy, Entropy)]
    assert entropies == pytest.approx([math.log(3) * f for f in (0.05, 0.1, 0.2, 0.4)])
    for policy in policies:
        check_policy(policy, num_classes=3)


def test_default_policies_of_regression(values: ExitTable) -> None:
    policies = default_policies(values)
    assert policies[0] == Full()
    # outputs of the last exit are 1.5 and 5: standard deviation 1.75
    assert Consistency(2, eta=1.75 * 0.1) in policies
    assert len(policies) == 1 + 2 * 5
    constant = replace(values, logits=torch.ones(3, 2, 1))
    assert default_policies(constant) == [Full()]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_record_keeps_every_exit_and_the_mode_of_every_module(task) -> None:
    torch.manual_seed(0)
    net = tiny_net(outputs=1 if task == "regression" else 3).train()
    net.stages[0].eval()  # a frozen part must stay frozen
    modes = [module.training for module in net.modules()]
    images = torch.randn(10, 4, 1, 1)
    targets = torch.arange(10) % 3 if task == "classification" else torch.linspace(0, 1, 10)
    order = torch.tensor([9, 0, 3, 1, 2, 8, 7])  # samples 4, 5 and 6 could not be read
    batches = [
        FakeBatch(images[part], targets[part], part) for part in (order[:4], order[4:4], order[4:])
    ]
    table = record(
        net,
        batches,
        exit_macs=[1, 2, 3],
        task=task,
        names=[f"{row}.png" for row in range(10)],
        split="calibration",
        data_fingerprint="d",
    )
    assert [module.training for module in net.modules()] == modes
    assert table.names == tuple(f"{row}.png" for row in order.tolist())
    assert torch.equal(table.targets, targets[order])
    assert table.exit_macs == (1, 2, 3)
    assert (table.split, table.data_fingerprint) == ("calibration", "d")
    assert table.weights_fingerprint == weights_fingerprint(net)
    net.eval()
    with torch.no_grad():
        expected = torch.stack([torch.stack(net(images[row][None])) for row in order], dim=1)
    torch.testing.assert_close(table.logits, expected.squeeze(2))

    policy = Consistency(1, eta=0.1) if task == "regression" else Consistency(1)
    live = infer(net, images[order], policy)
    assert torch.equal(replay(table, policy).exit_index, live.exit_index)


def test_record_restores_the_mode_when_a_batch_fails() -> None:
    net = tiny_net().train()
    bad = FakeBatch(torch.zeros(2, 4), torch.zeros(2), torch.zeros(2))
    with pytest.raises(ExeuntError, match="images of shape"):
        record(
            net,
            [bad],
            exit_macs=(1, 2, 3),
            task="classification",
            names=("a", "b"),
            split="test",
            data_fingerprint="d",
        )
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize(
    ("exit_macs", "message"),
    [
        ((1, 2, 3), "the test split gave no samples"),
        ((1, 2), r"one number per exit \(3\)"),
        ((1, 3, 2), "cumulative"),
    ],
)
def test_record_refuses(exit_macs: tuple[int, ...], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        record(
            tiny_net(),
            [],
            exit_macs=exit_macs,
            task="classification",
            names=(),
            split="test",
            data_fingerprint="d",
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(3, 4, 3, dtype=torch.float64)}, "float32"),
        ({"logits": torch.zeros(4, 3)}, r"\(E N K\)"),
        ({"logits": torch.zeros(3, 0, 3)}, "not empty"),
        ({"logits": torch.zeros(3, 4, 1)}, "1 outputs per exit"),
        ({"task": "regression"}, "3 outputs per exit"),
        ({"task": "detection"}, "'detection'"),
        ({"targets": torch.tensor([0, 1, 2])}, "as many targets"),
        ({"targets": torch.tensor([0, 1, 2, 3])}, r"in 0\.\.2, got 0\.\.3"),
        ({"targets": torch.tensor([0, 1, 2, -1])}, r"got -1\.\.2"),
        ({"names": ("a",)}, "1 names"),
        ({"exit_macs": (1, 2)}, "one number per exit"),
        ({"exit_macs": (2, 1, 3)}, "cumulative"),
        ({"exit_macs": (0, 0, 0)}, "end above 0"),
        ({"exit_ms": (1.0, 2.0)}, r"exit_ms needs one number per exit \(3\)"),
        ({"exit_ms": (1.0, 3.0, 2.0)}, "exit_ms must be cumulative"),
        ({"exit_ms": (1.0, 2.0, math.nan)}, "exit_ms must be finite"),
        ({"exit_bytes": (8, 4, 9)}, "exit_bytes must be cumulative"),
        ({"class_names": ("a", "b")}, "must name the 3 outputs .* got 2"),
        ({"targets": torch.tensor([0.0, 1.0, 2.0, 0.0])}, "must be torch.int64, got torch.float32"),
    ],
)
def test_table_refuses_parts_that_do_not_fit(classes: ExitTable, change, message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        replace(classes, **change)


def test_table_knows_its_size(classes: ExitTable) -> None:
    assert (classes.num_exits, len(classes)) == (3, 4)
    assert repr(classes) == "ExitTable(4 samples, 3 exits, 3 outputs, float32, calibration)"


def test_outputs_of_the_exits_taken(classes: ExitTable, values: ExitTable) -> None:
    outcome = replay(classes, Consistency(1))  # at exits 1, 2, 2, 2
    expected = torch.stack([classes.logits[k, row] for row, k in enumerate((1, 2, 2, 2))])
    assert torch.equal(outcome.logits, expected)
    assert outcome.predictions.tolist() == [0, 1, 1, 1]
    outcome = replay(values, Consistency(1, eta=1.0))  # at exits 1 and 2
    assert outcome.predictions.tolist() == [0.5, 5.0]
    assert outcome.logits.tolist() == [[0.5], [5.0]]


def test_scores_of_float16_are_those_of_the_rounded_values() -> None:
    # 1.0001 rounds to 1, so class 0, the first of two that are equal, wins; and in float32
    # softmax(1, 1) is (1/2, 1/2) exactly.
    logits = torch.tensor([[[1.0, 1.0001]], [[0.0, 8.0]]])
    exact = make_table(logits, torch.tensor([1]), (1, 2))
    rounded = replace(exact, logits=logits.half())
    assert replay(exact, Confidence(0.5)).accuracy == 1.0
    outcome = replay(rounded, Confidence(0.5))
    assert (outcome.exit_index.tolist(), outcome.accuracy) == ([0], 0.0)
    assert [row.accuracy for row in exit_rows(rounded)] == [0.0, 1.0]
    assert exit_rows(rounded)[0].mean_confidence == 0.5
    assert rounded.read(TopProbability(), 1).dtype == torch.float32


def test_fingerprint_follows_the_tensors_alone() -> None:
    torch.manual_seed(0)
    net, twin = tiny_net(), tiny_net()
    twin.load_state_dict(net.state_dict())
    fingerprint = weights_fingerprint(net)
    assert len(fingerprint) == 32
    assert weights_fingerprint(twin.eval()) == fingerprint
    buffer = twin.get_buffer("stages.1.trunk.1.running_mean")
    buffer[2] += 1e-6
    assert weights_fingerprint(twin) != fingerprint
    buffer[2] = 0
    assert weights_fingerprint(twin) == fingerprint


def test_fingerprint_tells_names_types_and_shapes_apart() -> None:
    def with_buffer(name: str, tensor: Tensor) -> nn.Module:
        module = nn.Module()
        module.register_buffer(name, tensor)
        return module

    zeros = torch.zeros(4)
    tensors = [zeros, zeros.view(2, 2), zeros.int(), zeros.bfloat16(), zeros[0]]
    prints = {weights_fingerprint(with_buffer("a", tensor)) for tensor in tensors}
    prints.add(weights_fingerprint(with_buffer("b", zeros)))
    assert len(prints) == 6
    column = torch.arange(6.0).view(2, 3).T
    assert weights_fingerprint(with_buffer("a", column)) == weights_fingerprint(
        with_buffer("a", column.contiguous())
    )
