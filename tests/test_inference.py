"""The live loop: decisions, and which rows each stage really sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, replay
from exeunt.inference import infer
from exeunt.policies import Confidence, Consistency, Entropy, Full, Memory, Policy


class Recital(nn.Module):
    """A net that recites a stream (E N K). An image (1 1 1) holds the number of its row."""

    def __init__(self, stream: Tensor) -> None:
        super().__init__()
        self.stream = stream
        self.num_exits = len(stream)
        self.seen: list[list[int]] = []
        self.eval()

    def images(self) -> Tensor:
        return torch.arange(self.stream.shape[1]).float().view(-1, 1, 1, 1)

    def begin(self, x: Tensor) -> tuple[Tensor, ...]:
        rows = x.flatten()
        return rows, torch.stack([rows, -rows], dim=1)

    def step(self, k: int, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        rows, twice = state
        assert k == len(self.seen)
        assert torch.is_inference_mode_enabled()
        assert torch.equal(twice, torch.stack([rows, -rows], dim=1)), "state parts fell out of step"
        self.seen.append(rows.long().tolist())
        return self.stream[k, rows.long()], state


def table_of(stream: Tensor) -> ExitTable:
    samples = stream.shape[1]
    number = torch.float32 if stream.shape[2] == 1 else torch.int64
    return ExitTable(
        logits=stream,
        targets=torch.zeros(samples, dtype=number),
        task="regression" if stream.shape[2] == 1 else "classification",
        exit_macs=tuple(range(1, len(stream) + 1)),
        names=tuple(str(row) for row in range(samples)),
        split="calibration",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def one_hot_stream(*rows: tuple[int, ...]) -> Tensor:
    """Rows of winning classes, one row per sample, as a stream (E N 3)."""
    return nn.functional.one_hot(torch.tensor(rows).T, 3).float()


def leave_one_by_one(policy: Policy, stream: Tensor) -> list[int]:
    """The exit that each sample takes: plain Python, one sample at a time, no compaction."""
    taken = []
    for row in range(stream.shape[1]):
        memory: Memory = ()
        for k in range(len(stream)):
            leave, memory = policy.observe(k, stream[k, row : row + 1], memory)
            if leave.item() or k == len(stream) - 1:
                taken.append(k)
                break
    return taken


def test_rows_leave_the_batch_and_take_their_exit() -> None:
    stream = one_hot_stream((0, 0, 1, 2), (0, 1, 1, 0), (0, 1, 2, 0), (2, 2, 0, 0))
    stream = stream + torch.arange(4).view(4, 1, 1) * 10  # tells the exits apart
    net = Recital(stream)
    prediction = infer(net, net.images(), Consistency(1))
    assert prediction.exit_index.tolist() == [1, 2, 3, 1]
    assert prediction.exit_index.dtype == torch.int64
    assert prediction.rows == (4, 4, 2, 1)
    assert net.seen == [[0, 1, 2, 3], [0, 1, 2, 3], [1, 2], [2]]
    assert prediction.logits.tolist() == [
        [11.0, 10.0, 10.0],
        [20.0, 21.0, 20.0],
        [31.0, 30.0, 30.0],
        [10.0, 10.0, 11.0],
    ]


def test_no_stage_runs_once_everyone_has_left() -> None:
    net = Recital(one_hot_stream((0, 0, 1), (1, 1, 1)))
    prediction = infer(net, net.images(), Consistency(1))
    assert prediction.rows == (2, 2, 0)
    assert len(net.seen) == 2


def test_everyone_may_leave_at_once() -> None:
    net = Recital(one_hot_stream((0, 1, 2)))
    assert infer(net, net.images(), Confidence(0.0)).rows == (1, 0, 0)


@pytest.mark.parametrize("exits", [1, 4])
def test_full_runs_every_stage_on_every_row(exits: int) -> None:
    net = Recital(torch.randn(exits, 5, 3))
    prediction = infer(net, net.images(), Full())
    assert prediction.rows == (5,) * exits
    assert prediction.exit_index.tolist() == [exits - 1] * 5
    assert torch.equal(prediction.logits, net.stream[-1])


@dataclass
class Alternating:
    """Drops the even original rows first; its memory holds row numbers and is checked."""

    sizes: list[int] = field(default_factory=list)

    @property
    def spec(self) -> str:
        return "alternating"

    def observe(self, exit_index: int, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        rows = logits[:, 0]
        if memory:
            assert torch.equal(memory[0], rows)
            assert torch.equal(memory[1][:, 1], rows)
        self.sizes.append(len(rows))
        return rows % (2 * len(self.sizes)) == 0, (rows, rows[:, None].expand(-1, 2))


def test_policy_memory_shrinks_with_the_batch_and_the_last_exit_is_not_asked() -> None:
    stream = torch.arange(8.0).view(1, 8, 1).expand(4, 8, 2)
    net, policy = Recital(stream), Alternating()
    prediction = infer(net, net.images(), policy)
    assert policy.sizes == [8, 4, 4]
    assert prediction.rows == (8, 4, 4, 4)
    assert prediction.exit_index.tolist() == [0, 3, 0, 3, 0, 3, 0, 3]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    exits=st.integers(1, 6),
    policy=st.one_of(
        st.just(Full()),
        st.builds(Consistency, st.integers(1, 3)),
        st.builds(Consistency, st.integers(1, 3), st.floats(0.2, 2.0)),
        st.builds(Confidence, st.floats(0.3, 0.9)),
        st.builds(Entropy, st.floats(0.2, 1.0)),
    ),
)
def test_batch_of_one_equals_batch_of_64_equals_replay(
    seed: int, exits: int, policy: Policy
) -> None:
    classes = 1 if isinstance(policy, Consistency) and policy.eta is not None else 3
    stream = torch.randn(exits, 64, classes, generator=torch.Generator().manual_seed(seed))
    expected = leave_one_by_one(policy, stream)

    images = Recital(stream).images()
    together = infer(Recital(stream), images, policy)
    apart = [infer(Recital(stream), image[None], policy) for image in images]
    replayed = replay(table_of(stream), policy)

    assert together.exit_index.tolist() == expected
    assert [alone.exit_index.item() for alone in apart] == expected
    assert replayed.exit_index.tolist() == expected
    logits = torch.stack([stream[k, row] for row, k in enumerate(expected)])
    assert torch.equal(together.logits, logits)
    assert torch.equal(torch.cat([alone.logits for alone in apart]), logits)
    assert torch.equal(replayed.logits, logits)
    assert together.rows == tuple(sum(k >= stage for k in expected) for stage in range(exits))


def test_training_mode_is_refused() -> None:
    net = Recital(torch.zeros(2, 1, 3)).train()
    with pytest.raises(ExeuntError, match=r"call \.eval\(\)"):
        infer(net, net.images(), Full())


def test_an_empty_batch_is_refused() -> None:
    net = Recital(torch.zeros(2, 1, 3))
    with pytest.raises(ExeuntError, match=r"\(0, 1, 1, 1\)"):
        infer(net, net.images()[:0], Full())
