"""ReX as the library runs it, in torch and by its kernels in C, against ReX patch by patch.

    python benchmarks/rex_layer.py [--threads 1] [--batches 1,16] [--repeats 40] [--size 112]

The layer is the early one of ReX-MobileNetV2: 32 to 64 channels, patches of 6x6, stride 4. The
per-patch form unfolds the input and gives every patch's rows and columns to `nn.GRU`; the shared
form is what the library does with torch's operators; the native one, where it was compiled, is what
EXEUNT_NATIVE chooses. They take turns, so that a busy machine slows all of them; minimum and median
are printed, ratios are of minima.

Memory is the peak of bytes that are allocated and alive at once, over the input and the parameters.
It is counted, for the forms in torch, by a dispatch mode that sees every tensor an operator returns
and, through a weak reference to its storage, when it is freed. What an operator allocates and frees
within itself is not seen, but both forms are made of small operators, and the allocator's own count
agrees.
"""

from __future__ import annotations

import argparse
import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from exeunt.native import in_use, native, using
from exeunt.ops.rex import ReX2d

# the bars: inference at batch 1, shared and native, and memory of training
FASTER, NATIVE_FASTER, SMALLER = 2.5, 10, 0.5


def per_patch(layer: ReX2d, x: Tensor) -> Tensor:
    """What `layer` computes, from an unfolded input; `"same"` padding, stride up to the patch."""
    (h, w), stride = layer.patch_size, layer.stride
    rows, columns = layer.windows(*x.shape[2:])
    x = F.pad(x, (columns.lead, columns.trail, rows.lead, rows.trail))
    patches = x.unfold(2, h, stride[0]).unfold(3, w, stride[1]).permute(0, 2, 3, 4, 5, 1)
    n, down, across = patches.shape[:3]
    patches = patches.flatten(0, 2)  # (patches, h, w, C)

    def last_states(rnn: torch.nn.Module, sequences: Tensor) -> Tensor:
        """(M, T, features) to (M, directions*hidden)."""
        state: Tensor = rnn(sequences.transpose(0, 1))[1]
        return state.transpose(0, 1).flatten(1)

    by_row = last_states(layer.rnn1, patches.flatten(0, 1)).view(len(patches), h, -1)
    by_column = last_states(layer.rnn1, patches.transpose(1, 2).flatten(0, 1))
    by_column = by_column.view(len(patches), w, -1)
    both = torch.cat([by_row, by_column], dim=1).flatten(1)
    parts = [
        last_states(layer.rnn2, by_row),
        layer.linear(both),
        last_states(layer.rnn2, by_column),
    ]
    return torch.cat(parts, dim=1).view(n, down, across, -1).permute(0, 3, 1, 2).contiguous()


class PeakBytes(TorchDispatchMode):
    """Counts bytes of storages made inside the `with` block; `peak` is the most alive at once."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self.alive = {tensor.untyped_storage()._cdata for tensor in given}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._watch(tensor.untyped_storage())
        return out

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size_bytes = storage._cdata, storage.nbytes()
        if key in self.alive:
            return
        self.alive.add(key)
        self.now += size_bytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size_bytes)

    def _free(self, key: int, size_bytes: int) -> None:
        self.alive.discard(key)
        self.now -= size_bytes


def infer(form: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with torch.no_grad():
        form(x)


def train(form: Callable[[Tensor], Tensor], x: Tensor) -> None:
    form(x).sum().backward()


def in_torch(layer: ReX2d, x: Tensor) -> Tensor:
    with using("0"):
        out: Tensor = layer(x)
    return out


def timed(
    calls: Sequence[Callable[[], None]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[tuple[float, float]]:
    """(minimum, median) milliseconds of every call; they take turns, after one round unmeasured."""
    times_ms: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, record in zip(calls, times_ms, strict=True):
            start = clock()
            call()
            if turn:
                record.append(1e3 * (clock() - start))
    return [(min(record), statistics.median(record)) for record in times_ms]


def peak_bytes(call: Callable[[], None], given: Iterable[Tensor]) -> int:
    with PeakBytes(given) as count:
        call()
    return count.peak


def compare(size: int, batches: list[int], repeats: int) -> list[str]:
    """Measures every batch; prints as it goes and returns the verdicts on the bars."""
    torch.manual_seed(0)
    layer = ReX2d(32, 16, 8, 6, 4)
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "per patch": partial(per_patch, layer),
        "shared": partial(in_torch, layer),
    }
    trained = dict(forms)
    if native() is not None:
        forms["native"] = layer
    verdicts = []
    macs = layer.macs(size, size)
    print(f"ReX 32 -> 64, 6x6, stride 4, on {size}x{size}; {torch.get_num_threads()} thread(s)")
    print(f"MACs per image: {macs.per_patch:,} patch by patch, {macs.shared:,} shared")
    print(f"native kernels: {in_use()}")
    print(f"{'':37}{'min / median ms':>16}{'faster':>9}{'MiB':>9}")
    for batch in batches:
        x = torch.randn(batch, 32, size, size, requires_grad=True)
        given = [x, *layer.parameters()]
        for form in forms.values():
            with torch.no_grad():
                torch.testing.assert_close(form(x), forms["per patch"](x), rtol=0, atol=1e-5)
        for task, pass_over in (("forward", infer), ("forward+backward", train)):
            ways = forms if pass_over is infer else trained
            calls = {name: partial(pass_over, form, x) for name, form in ways.items()}
            times_ms = timed(list(calls.values()), max(3, repeats // batch))
            for tensor in given:
                tensor.grad = None
            faster, bytes_ = {}, {}
            for (name, call), (low, middle) in zip(calls.items(), times_ms, strict=True):
                faster[name] = times_ms[0][0] / low
                memory = ""
                if name in trained:
                    bytes_[name] = peak_bytes(call, given)
                    memory = f"{bytes_[name] / 2**20:9.1f}"
                times = f"{low:8.2f} /{middle:6.1f}"
                print(f"batch {batch:<3}{task:>17}{name:>11}{times}{faster[name]:8.2f}x{memory}")
            if pass_over is infer and batch == 1:
                bars = {"shared": FASTER, "native": NATIVE_FASTER}
                verdicts += [
                    f"forward at batch 1, {name}: {faster[name]:.2f}x faster, bar {bar}x "
                    + ("met" if faster[name] >= bar else "NOT met")
                    for name, bar in bars.items()
                    if name in faster
                ]
            if pass_over is train:
                share = bytes_["shared"] / bytes_["per patch"]
                met = "met" if share <= SMALLER else "NOT met"
                verdicts.append(
                    f"training at batch {batch}: {share:.2f} of the memory, bar {SMALLER} {met}"
                )
    return verdicts


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", default="1,16", help="batch sizes, separated by commas")
    parser.add_argument("--repeats", type=int, default=40, help="at batch 1; fewer for more images")
    parser.add_argument("--size", type=int, default=112, help="rows and columns of the map")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    batches = [int(batch) for batch in options.batches.split(",")]
    for verdict in compare(options.size, batches, options.repeats):
        print(verdict)


if __name__ == "__main__":
    main()
