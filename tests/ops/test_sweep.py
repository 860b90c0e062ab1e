from __future__ import annotations

import pytest
import torch
from torch import Tensor

from exeunt.ops.recurrence import CELLS, mingru_activate
from exeunt.ops.sweep import Reads, gather, sweep

HIDDEN = 3
ALL = slice(None)


def along_rows(directions: int) -> Reads:
    """Three steps over overlapping strided rows; a second direction reads them in reverse."""
    half = slice(0, 12), slice(12, 24)
    order = [(t, 2 - t)[:directions] for t in range(3)]
    return [[(half[d], slice(t, t + 5, 2)) for d, t in enumerate(step)] for step in order]


def along_columns() -> Reads:
    return [[(slice(0, 12), ALL, slice(t, t + 4, 3))] for t in range(4)]


def inputs(cell: str, directions: int) -> list[Tensor]:
    """projected, weight_hh, bias: leaves in double precision."""
    width = 0 if cell == "mingru" else CELLS[cell].gates * HIDDEN
    bias = {"gru": HIDDEN, "fastgrnn": 2 * HIDDEN + 2}.get(cell, 0)
    shapes = [(24, 8, 7, 2), (directions, width, HIDDEN), (directions, bias, 1)]
    return [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]


def unrolled(projected: Tensor, reads: Reads, cell: str, weight: Tensor, bias: Tensor) -> Tensor:
    """The same recurrence as one plain autograd graph."""
    width = CELLS[cell].gates * HIDDEN
    state = None
    for read in reads:
        taken = torch.stack([projected[index][:width] for index in read])
        if state is None:
            zeros = taken.new_zeros(len(read), HIDDEN, taken[0, 0].numel())
            state = (zeros,) * CELLS[cell].states
        state = CELLS[cell].step(taken.flatten(2), state, weight, bias)
    assert state is not None
    return state[0].reshape(-1, *projected[reads[0][0]].shape[1:])


def narrowed(reads: Reads, width: int) -> Reads:
    """`reads` with `width` features in place of 12."""
    return [[(slice(i[0].start, i[0].start + width), *i[1:]) for i in read] for read in reads]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients_are_those_of_the_unrolled_graph(cell: str, directions: int) -> None:
    leaves = inputs(cell, directions)
    reads = narrowed(along_rows(directions), CELLS[cell].gates * HIDDEN)
    (ours,) = sweep(leaves[0], [reads], CELLS[cell], *leaves[1:])
    expected = unrolled(leaves[0], reads, cell, *leaves[1:])
    torch.testing.assert_close(ours, expected)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(
        torch.autograd.grad(ours, leaves, grad, materialize_grads=True),
        torch.autograd.grad(expected, leaves, grad, materialize_grads=True),
    )


def test_gates_take_any_layout() -> None:
    """Inputs and gradients that are not contiguous, two directions."""
    projected = torch.randn(7, 24, dtype=torch.double, requires_grad=True)
    gates = mingru_activate(projected.T, 2)
    z, c = projected.T.unflatten(0, (2, 2, 6)).unbind(1)
    expected = torch.stack([z.sigmoid(), c.tanh()], 1).flatten(0, 2)
    torch.testing.assert_close(gates, expected)
    weight = torch.randn(24, 1, dtype=torch.double)  # whose gradient is expanded
    ours, theirs = (
        torch.autograd.grad((x * weight).sum(1).cos().sum(), projected, retain_graph=True)
        for x in (gates, expected)
    )
    torch.testing.assert_close(ours, theirs)


def test_runs_share_the_map_and_one_may_go_unused() -> None:
    leaves = inputs("gru", 1)
    runs = [narrowed(reads, 9) for reads in (along_rows(1), along_columns())]
    ours = sweep(leaves[0], runs, CELLS["gru"], *leaves[1:])
    expected = [unrolled(leaves[0], reads, "gru", *leaves[1:]) for reads in runs]
    assert [tuple(end.shape) for end in ours] == [(3, 3, 7, 2), (3, 8, 2, 2)]
    torch.testing.assert_close(list(ours), expected)

    def gradients(ends: list[Tensor]) -> tuple[Tensor, ...]:
        loss = torch.stack([(end.cos() * (k + 1)).sum() for k, end in enumerate(ends)]).sum()
        return torch.autograd.grad(loss, leaves, retain_graph=True)

    torch.testing.assert_close(gradients(list(ours)), gradients(expected))
    torch.testing.assert_close(gradients([ours[1]]), gradients([expected[1]]))


def test_without_grad_the_numbers_are_the_same() -> None:
    leaves = inputs("lstm", 2)
    (with_grad,) = sweep(leaves[0], [along_rows(2)], CELLS["lstm"], *leaves[1:])
    with torch.no_grad():
        (without,) = sweep(leaves[0], [along_rows(2)], CELLS["lstm"], *leaves[1:])
    assert torch.equal(with_grad, without)
    assert with_grad.requires_grad
    assert not without.requires_grad


def test_only_the_inputs_and_the_states_are_kept_for_backward() -> None:
    leaves = inputs("gru", 1)
    reads = narrowed(along_columns(), 9)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sweep(leaves[0], [reads], CELLS["gru"], *leaves[1:])
    of_inputs = sum(leaf.untyped_storage().nbytes() for leaf in leaves)
    sequences = 8 * 2 * 2
    states = (len(reads) - 1) * HIDDEN * sequences * 8  # doubles; the first state is one zero
    assert sum(kept.values()) == of_inputs + states + 8


def test_gradients_of_gradients_are_refused() -> None:
    leaves = inputs("gru", 1)
    (end,) = sweep(leaves[0], [narrowed(along_rows(1), 9)], CELLS["gru"], *leaves[1:])
    (first,) = torch.autograd.grad(end.cos().sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_gather_is_a_concatenation_of_slices() -> None:
    maps = torch.randn(4, 9, 5, 2, dtype=torch.double, requires_grad=True)
    reads = [(ALL, slice(t, t + 7, 3)) for t in range(3)] + [(ALL, slice(0, 9, 4))]
    ours, expected = gather(maps, reads), torch.cat([maps[index] for index in reads])
    assert torch.equal(ours, expected)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(
        torch.autograd.grad(ours, maps, grad), torch.autograd.grad(expected, maps, grad)
    )
    with torch.no_grad():
        assert torch.equal(gather(maps, reads), expected)
