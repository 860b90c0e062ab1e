"""ReX and consistency in NumPy, for reading: equations 1 to 11 of Qian, Hang and Liu, AAAI 2022.

    python examples/rex_in_100_lines.py

Everything is as the paper writes it, patch by patch and step by step. The library computes the same
numbers with shared sweeps; the last function here has the idea of how little memory that takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]  # named as torch names those of `ReX2d`


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.reciprocal(1 + np.exp(-x))


def gru(inputs: Iterable[np.ndarray], weights: Weights, name: str, way: str = "") -> np.ndarray:
    """The last state of a GRU (Cho et al. 2014) that began with zeros."""
    w, u = weights[f"{name}.weight_ih_l0{way}"], weights[f"{name}.weight_hh_l0{way}"]
    b, c = weights[f"{name}.bias_ih_l0{way}"], weights[f"{name}.bias_hh_l0{way}"]
    state = np.zeros(u.shape[1])
    for x in inputs:
        from_input, from_state = np.split(w @ x + b, 3), np.split(u @ state + c, 3)
        reset = sigmoid(from_input[0] + from_state[0])
        keep = sigmoid(from_input[1] + from_state[1])
        candidate = np.tanh(from_input[2] + reset * from_state[2])
        state = (1 - keep) * candidate + keep * state
    return state


def rex_patch(patch: np.ndarray, weights: Weights) -> np.ndarray:
    """A patch (h, w, c) as one vector of 8 h2 numbers (equations 1 to 3)."""
    rows = [gru(row, weights, "rnn1") for row in patch]  # e^h, equation 4
    columns = [gru(column, weights, "rnn1") for column in patch.swapaxes(0, 1)]  # e^w, equation 5
    summary = np.concatenate([*rows, *columns])
    both = weights["linear.weight"] @ summary + weights["linear.bias"]  # V^G, equation 6
    return np.concatenate([two_ways(rows, weights), both, two_ways(columns, weights)])


def two_ways(lines: list[np.ndarray], weights: Weights) -> np.ndarray:
    """The second RNN over lines, forward and backward: V^R and V^C (equations 7 and 8)."""
    forward = gru(lines, weights, "rnn2")
    return np.concatenate([forward, gru(lines[::-1], weights, "rnn2", "_reverse")])


def padded(length: int, size: int, stride: int) -> tuple[int, int, int]:
    """How many patches lie along a map, and how many zeros before and behind it."""
    count = -(-length // stride)
    missing = max(0, (count - 1) * stride + size - length)
    return count, missing // 2, missing - missing // 2


def rex(image: np.ndarray, weights: Weights, size: int, stride: int) -> np.ndarray:
    """A map (H, W, C), a vector for each patch (H', W', 8 h2): a ReX layer."""
    (down, top, bottom), (across, left, right) = (padded(n, size, stride) for n in image.shape[:2])
    image = np.pad(image, ((top, bottom), (left, right), (0, 0)))
    corners = [[(stride * i, stride * j) for j in range(across)] for i in range(down)]
    return np.array(
        [[rex_patch(image[y : y + size, x : x + size], weights) for y, x in row] for row in corners]
    )


def rex_by_rows(
    rows: Iterator[np.ndarray],
    shape: tuple[int, int, int],
    weights: Weights,
    size: int,
    stride: int,
) -> Iterator[np.ndarray]:
    """The same from rows (W, C) that come one by one, of a map (H, W, C) that never exists.

    No more than `size` rows are held. A row of patches is put out as soon as its last row is in.
    """
    (_, top, bottom), (across, left, right) = (padded(n, size, stride) for n in shape[:2])
    held: list[np.ndarray] = []
    for y in range(top + shape[0] + bottom):
        row = next(rows) if top <= y < top + shape[0] else np.zeros(shape[1:])
        held.append(np.pad(row, ((left, right), (0, 0))))
        if len(held) == size:
            band = np.array(held)
            starts = range(0, stride * across, stride)
            yield np.array([rex_patch(band[:, x : x + size], weights) for x in starts])
            held = held[stride:]


def consistency(predictions: Iterable[float], k: int, eta: float | None = None) -> int:
    """The exit at which a sample leaves, from 0: the counter of equation 10, or 11 with `eta`."""
    count, before = 0, None
    for exit_index, now in enumerate(predictions):
        agrees = before is not None and (now == before if eta is None else abs(now - before) < eta)
        count, before = (count + 1 if agrees else 0), now
        if count == k:
            return exit_index
    return exit_index


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    c, h1, h2, size, stride = 3, 8, 4, 6, 4
    shapes = {"linear.weight": (4 * h2, 2 * size * h1), "linear.bias": (4 * h2,)}
    for name, way, n, h in (("1", "", c, h1), ("2", "", h1, h2), ("2", "_reverse", h1, h2)):
        shapes |= {f"rnn{name}.weight_ih_l0{way}": (3 * h, n)}
        shapes |= {f"rnn{name}.weight_hh_l0{way}": (3 * h, h)}
        shapes |= {f"rnn{name}.bias_{part}_l0{way}": (3 * h,) for part in ("ih", "hh")}
    random = {name: draw.normal(size=shape) / 2 for name, shape in shapes.items()}
    image = draw.random((24, 32, c))
    small = rex(image, random, size, stride)
    by_rows = np.array(list(rex_by_rows(iter(image), image.shape, random, size, stride)))
    apart = abs(small - by_rows).max()
    print(f"{image.shape} becomes {small.shape}; row by row the same but for {apart}")
    print("exits 1, 2, 2, 2: leaves at exit", 1 + consistency([1, 2, 2, 2], k=2))
