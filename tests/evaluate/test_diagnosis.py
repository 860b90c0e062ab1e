"""Numbers that expose trouble, against numbers worked out by hand and by plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.evaluate import (
    ExitTable,
    Oracle,
    agreement,
    confusion,
    easiest,
    exit_rows,
    hardest,
    oracle,
    overthinking,
    reliability,
    replay,
    settling_exits,
)
from exeunt.policies import Confidence, Consistency, Full


def make_table(logits: Tensor, targets: Tensor, exit_macs: tuple[int, ...]) -> ExitTable:
    return ExitTable(
        logits=logits,
        targets=targets,
        task="regression" if logits.shape[2] == 1 else "classification",
        exit_macs=exit_macs,
        names=tuple(f"{row}.png" for row in range(len(targets))),
        split="test",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


@pytest.fixture
def classes() -> ExitTable:
    """Five samples, three exits; winning classes below, targets 0 1 2 0 1.

    Sample 0 is right, right, wrong; 1 wrong, right, right; 2 right, wrong, right; 3 never right;
    4 always.
    """
    winning = torch.tensor([[0, 0, 2, 1, 1], [0, 1, 1, 2, 1], [1, 1, 2, 1, 1]])
    return make_table(
        logits=nn.functional.one_hot(winning, 3).float(),
        targets=torch.tensor([0, 1, 2, 0, 1]),
        exit_macs=(100, 250, 1000),
    )


@pytest.fixture
def values() -> ExitTable:
    """Three samples, two exits, targets 1, 4 and 2."""
    return make_table(
        logits=torch.tensor([[0.0, 2.0, 2.0], [1.5, 5.0, 2.0]]).unsqueeze(2),
        targets=torch.tensor([1.0, 4.0, 2.0]),
        exit_macs=(10, 40),
    )


@pytest.fixture
def noisy() -> ExitTable:
    """200 samples of 7 classes that four exits see better and better, and more and more surely."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(7, (200,), generator=generator)
    noise = torch.randn(4, 200, 7, generator=generator)
    signal = 1.5 * nn.functional.one_hot(targets, 7)
    growth = torch.tensor([0.5, 1.0, 2.0, 4.0]).view(4, 1, 1)
    return make_table(growth * (signal + noise), targets, (10, 30, 60, 100))


def right(table: ExitTable, k: int, row: int) -> bool:
    logits = table.logits[k, row].tolist()
    return bool(logits.index(max(logits)) == table.targets[row])


def naive_ece(table: ExitTable, k: int, bins: int, temperature: float) -> float:
    gap = 0.0
    for b in range(bins):
        inside = []
        for row in range(len(table)):
            powers = [math.exp(v / temperature) for v in table.logits[k, row].tolist()]
            confidence = max(powers) / sum(powers)
            if b / bins < confidence <= (b + 1) / bins:
                inside.append((confidence, right(table, k, row)))
        if inside:
            mean_confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(hit for _, hit in inside) / len(inside)
            gap += len(inside) / len(table) * abs(mean_confidence - accuracy)
    return gap


@pytest.mark.parametrize("bins", [1, 5, 15])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_calibration_error_is_that_of_a_plain_loop(
    noisy: ExitTable, bins: int, temperature: float
) -> None:
    for k in range(4):
        found = reliability(noisy, k, bins, temperature)
        assert found.ece == pytest.approx(naive_ece(noisy, k, bins, temperature), abs=1e-6)
        assert sum(found.counts) == 200


def test_reliability_by_hand() -> None:
    # two classes: confidences 1/2, 0.8, 0.8, 0.9, of which right, right, wrong, right
    odds = torch.tensor([1.0, 4.0, 4.0, 9.0])
    logits = torch.stack([odds.log(), torch.zeros(4)], dim=1)
    table = make_table(logits[None], torch.tensor([0, 0, 1, 0]), (1,))
    found = reliability(table, 0, bins=4)
    assert found.edges == (0, 0.25, 0.5, 0.75, 1)
    assert found.counts == (0, 1, 0, 3)  # a half is in the bin that ends there
    assert found.mean_confidence == (None, 0.5, None, pytest.approx((0.8 + 0.8 + 0.9) / 3))
    assert found.accuracy == (None, 1, None, pytest.approx(2 / 3))
    assert found.ece == pytest.approx(0.25 * 0.5 + 0.75 * (2.5 / 3 - 2 / 3))


def test_certain_and_right_is_perfectly_calibrated() -> None:
    logits = torch.tensor([[[200.0, 0, 0], [0, 200, 0]]])
    found = reliability(make_table(logits, torch.tensor([0, 1]), (1,)), 0)
    assert found.ece == 0
    assert found.counts[-1] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((3,), r"in 0\.\.2, got 3"), ((0, 0), "bins"), ((0, 15, 0.0), "temperature")],
)
def test_reliability_refuses(classes: ExitTable, arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        reliability(classes, *arguments)


def test_agreement_by_hand(classes: ExitTable) -> None:
    # exits 1 and 2 agree on samples 0, 4; 1 and 3 on 2, 3, 4; 2 and 3 on 1, 4
    expected = torch.tensor([[5, 2, 3], [2, 5, 2], [3, 2, 5]], dtype=torch.float64) / 5
    assert torch.equal(agreement(classes), expected)


def test_agreement_of_values_is_that_of_consistency(values: ExitTable) -> None:
    longer = make_table(values.logits[[0, 1, 1]], values.targets, (10, 40, 50))
    shares = []
    for eta in (0.5, 1.5, 1.6, 3.1):
        (_, share), (mirrored, own) = agreement(values, eta).tolist()
        assert own == 1
        assert share == mirrored == replay(longer, Consistency(1, eta)).exit_shares[1]
        shares.append(share)
    assert shares == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])  # apart by 1.5, 3 and 0


def test_agreement_needs_eta_for_values_alone(classes: ExitTable, values: ExitTable) -> None:
    with pytest.raises(ExeuntError, match="needs eta"):
        agreement(values)
    with pytest.raises(ExeuntError, match=r"got 0\.0"):
        agreement(values, 0.0)
    with pytest.raises(ExeuntError, match=r"has no eta, got 0\.1"):
        agreement(classes, 0.1)


def test_overthinking_by_hand(classes: ExitTable) -> None:
    found = overthinking(classes)
    assert found.spoiled == (1 / 5, 1 / 5, 0)  # sample 0, twice
    assert found.mended == (1 / 5, 1 / 5, 0)  # samples 1 and 2
    assert found.destructive == 1 / 5  # sample 0
    assert found.wasteful == 2 / 5  # samples 1 and 4; 2 needed the last exit
    assert found.wasted_macs == pytest.approx((750 + 900) / (5 * 1000))
    assert settling_exits(classes).tolist() == [3, 1, 2, 3, 0]


def test_overthinking_is_that_of_a_plain_loop(noisy: ExitTable) -> None:
    settled, spoiled, mended, destructive = [], [0] * 4, [0] * 4, 0
    for row in range(len(noisy)):
        hits = [right(noisy, k, row) for k in range(4)]
        k = 4
        while k and hits[k - 1]:
            k -= 1
        settled.append(k)
        destructive += any(hits) and not hits[-1]
        for k in range(4):
            spoiled[k] += hits[k] and not hits[-1]
            mended[k] += hits[-1] and not hits[k]
    found = overthinking(noisy)
    assert settling_exits(noisy).tolist() == settled
    assert found.spoiled == pytest.approx([count / 200 for count in spoiled])
    assert found.mended == pytest.approx([count / 200 for count in mended])
    assert found.destructive == destructive / 200
    assert found.wasteful == sum(k < 3 for k in settled) / 200
    wasted = sum(100 - noisy.exit_macs[k] for k in settled if k < 4)
    assert found.wasted_macs == pytest.approx(wasted / (200 * 100))
    assert found.destructive > 0, "the exits must differ for this test"
    accuracies = [row.accuracy for row in exit_rows(noisy)]
    for k, (lost, won) in enumerate(zip(found.spoiled, found.mended, strict=True)):
        assert accuracies[-1] == pytest.approx(accuracies[k] - lost + won)


def test_oracle_by_hand(classes: ExitTable) -> None:
    found = oracle(classes)
    assert found.exit_index.tolist() == [0, 1, 0, 0, 0]  # sample 3 is never right
    assert found.accuracy == 4 / 5
    assert found.mean_macs == (4 * 100 + 250) / 5
    assert found.saving == pytest.approx(1 - 130 / 1000)
    assert found.bound == ((100, 3 / 5), (130, 4 / 5), (130, 4 / 5))


def bound_at(found: Oracle, macs: float) -> float:
    """The accuracy on the line that joins the oracle's points, at a cost."""
    for (x0, y0), (x1, y1) in zip(found.bound, found.bound[1:], strict=False):
        if x0 <= macs < x1:
            return y0 + (y1 - y0) * (macs - x0) / (x1 - x0)
    return found.accuracy


def test_no_policy_beats_the_oracle(noisy: ExitTable) -> None:
    found = oracle(noisy)
    assert found.accuracy == exit_rows(noisy)[-1].oracle
    for policy in [Full(), *(Confidence(t / 20) for t in range(21)), *map(Consistency, (1, 2, 3))]:
        outcome = replay(noisy, policy)
        assert outcome.accuracy is not None
        assert outcome.accuracy <= bound_at(found, outcome.mean_macs) + 1e-12
    # nor does anyone else: all 3 ** 6 choices of exits for six samples
    few = make_table(noisy.logits[1:, :6], noisy.targets[:6], (30, 60, 100))
    found = oracle(few)
    reached = [
        (
            sum(right(few, k, row) for row, k in enumerate(exits)),
            sum(few.exit_macs[k] for k in exits),
        )
        for exits in product(range(3), repeat=6)
    ]
    most = max(hits for hits, _ in reached)
    assert found.accuracy == most / 6
    assert found.mean_macs == min(spent for hits, spent in reached if hits == most) / 6
    for hits, spent in reached:
        assert hits / 6 <= bound_at(found, spent / 6) + 1e-12


def test_confusion_by_hand(classes: ExitTable) -> None:
    outcome = replay(classes, Consistency(1))  # samples 0 and 4 leave at exit 1, the others at 2
    assert outcome.exit_index.tolist() == [1, 2, 2, 2, 1]
    found = confusion(classes, outcome)
    assert found.counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 1]]
    assert found.samples.tolist() == [2, 2, 1]
    assert found.accuracy.tolist() == [0.5, 1, 1]
    assert found.exit_shares.tolist() == [[0, 0.5, 0.5], [0, 0.5, 0.5], [0, 0, 1]]
    assert found.mean_exit.tolist() == [1.5, 1.5, 2]
    assert found.mean_macs.tolist() == [625, 625, 1000]


def test_confusion_adds_up_to_the_outcome(noisy: ExitTable) -> None:
    outcome = replay(noisy, Confidence(0.7))
    found = confusion(noisy, outcome)
    weights = found.samples.double() / 200
    assert (found.accuracy * weights).sum().item() == pytest.approx(outcome.accuracy)
    assert (found.mean_macs * weights).sum().item() == pytest.approx(outcome.mean_macs)
    assert (weights @ found.exit_shares).tolist() == pytest.approx(outcome.exit_shares)


def test_a_class_without_samples_has_no_accuracy(classes: ExitTable) -> None:
    table = replace(classes, targets=torch.zeros(5, dtype=torch.int64))
    found = confusion(table, replay(table, Full()))
    assert found.samples.tolist() == [5, 0, 0]
    assert found.accuracy.isnan().tolist() == [False, True, True]
    assert found.mean_exit.isnan().tolist() == [False, True, True]


def test_confusion_refuses_the_outcome_of_another_table(
    classes: ExitTable, noisy: ExitTable
) -> None:
    with pytest.raises(ExeuntError, match="of another table"):
        confusion(classes, replay(noisy, Full()))


def test_hardness_by_hand(classes: ExitTable) -> None:
    # settling exits 3 1 2 3 0; samples 0 and 3 differ in how probable class 0 was on the way
    assert [sample.index for sample in easiest(classes)] == [4, 1, 2, 0, 3]
    assert [sample.index for sample in hardest(classes, 2)] == [3, 0]
    (easy,) = easiest(classes, 1)
    assert (easy.name, easy.target, easy.settled, easy.error) == ("4.png", 1, 0, None)
    assert easy.probability == pytest.approx(math.e / (math.e + 2))
    (hard,) = hardest(classes, 1)
    assert (hard.name, hard.settled) == ("3.png", None)
    assert hard.probability == pytest.approx(1 / (math.e + 2))


def test_what_is_equally_hard_keeps_its_order(classes: ExitTable) -> None:
    twins = make_table(
        classes.logits.repeat_interleave(2, dim=1),
        classes.targets.repeat_interleave(2),
        classes.exit_macs,
    )
    assert [s.index for s in easiest(twins, 10)] == [8, 9, 2, 3, 4, 5, 0, 1, 6, 7]
    assert [s.index for s in hardest(twins, 10)] == [7, 6, 1, 0, 5, 4, 3, 2, 9, 8]


def test_hardness_of_values_is_the_error_of_the_last_exit(values: ExitTable) -> None:
    samples = easiest(values)
    assert [s.index for s in samples] == [2, 0, 1]
    assert [s.error for s in samples] == [0, 0.5, 1]
    assert hardest(values, 1)[0].target == 4
    assert samples[0].settled is samples[0].probability is None


def test_top5_is_that_of_a_plain_loop(noisy: ExitTable) -> None:
    for k, row in enumerate(exit_rows(noisy)):
        hits = 0
        for logits, target in zip(noisy.logits[k].tolist(), noisy.targets.tolist(), strict=True):
            ranked = sorted(range(7), key=lambda c: -logits[c])
            hits += target in ranked[:5]
        assert row.accuracy_top5 == hits / 200
        assert row.accuracy is not None
        assert row.accuracy < row.accuracy_top5 < 1


def test_of_equal_logits_the_first_five_are_the_top(classes: ExitTable) -> None:
    flat = make_table(torch.zeros(1, 8, 8), torch.arange(8), (1,))
    assert exit_rows(flat)[0].accuracy_top5 == 5 / 8
    assert exit_rows(flat)[0].accuracy == 1 / 8
    assert exit_rows(classes)[0].accuracy_top5 is None


@pytest.mark.parametrize(
    "function",
    [
        overthinking,
        oracle,
        settling_exits,
        lambda table: reliability(table, 0),
        lambda table: confusion(table, replay(table, Full())),
    ],
)
def test_classes_are_needed(function: Callable[[ExitTable], object], values: ExitTable) -> None:
    with pytest.raises(ExeuntError, match="table of regression"):
        function(values)
