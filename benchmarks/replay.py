"""Policies replayed over a large table, and asked sample by sample: time, side by side.

    python benchmarks/replay.py [--threads 1] [--shape 10,50000,1000] [--subset 100] [--folder DIR]

A table of random logits in float16, which get surer from exit to exit, is written to a file of
2 bytes per logit in DIR (1 GB unless told otherwise), opened again by mapping it, and removed. Then
40 policies are replayed: once as they come, which reads the logits, and again, when the table has
kept what they read. A naive loop shows every sample of a subset to every policy, exit by exit, as
the definition has it; both take the same exits, which is checked. Ratios are of processor time, per
sample and policy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from exeunt.calibrate import choose_policy
from exeunt.evaluate import ExitTable, load_table, save_table, sweep
from exeunt.policies import Confidence, Consistency, Entropy, Every, Margin, Memory, Policy

CPU_S = 15  # the bar: time of the processor, one thread, for the first sweep of the table

T = TypeVar("T")


def forty_policies() -> list[Policy]:
    return [
        *(Consistency(k) for k in range(1, 7)),
        *(Confidence(0.05 + 0.07 * step) for step in range(14)),
        *(Margin(0.05 + 0.11 * step) for step in range(8)),
        *(Entropy(0.5 + 0.6 * step) for step in range(10)),
        *(Every((Consistency(1), Confidence(threshold))) for threshold in (0.3, 0.6)),
    ]


def write_table(path: Path, shape: tuple[int, int, int]) -> None:
    """A table of random logits (E N K); the target's logit grows from exit to exit."""
    exits, samples, classes = shape
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(classes, (samples,), generator=generator)
    logits = torch.empty(shape, dtype=torch.float16)
    for k, exit_logits in enumerate(logits):
        for part, wanted in zip(exit_logits.split(4096), targets.split(4096), strict=True):
            noise = torch.randn(part.shape, generator=generator)
            noise[torch.arange(len(wanted)), wanted] += 3 + 0.8 * k
            part.copy_(2 * noise)
    save_table(
        path,
        ExitTable(
            logits=logits,
            targets=targets,
            task="classification",
            exit_macs=tuple(range(1, exits + 1)),
            names=tuple(f"{row}.png" for row in range(samples)),
            split="calibration",
            weights_fingerprint="random",
            data_fingerprint="random",
        ),
    )


def one_by_one(table: ExitTable, policies: list[Policy], samples: int) -> list[list[int]]:
    """The exits that the first samples take, by the definition: one sample, one exit at a time."""
    taken = []
    for policy in policies:
        exits = []
        for row in range(samples):
            memory: Memory = ()
            for k in range(table.num_exits):
                leave, memory = policy.observe(k, table.logits[k, row : row + 1], memory)
                if leave.item() or k == table.num_exits - 1:
                    exits.append(k)
                    break
        taken.append(exits)
    return taken


def timed(call: Callable[[], T]) -> tuple[float, float, T]:
    """Seconds of the clock, which a busy machine stretches, and of the processor; the result."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - start, time.process_time() - start_cpu, result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", default="10,50000,1000", help="exits, samples, classes")
    parser.add_argument("--subset", type=int, default=100, help="samples of the naive loop")
    parser.add_argument("--folder", type=Path, default=None, help="for the file [temporary]")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    exits, samples, classes = map(int, options.shape.split(","))
    policies, subset = forty_policies(), min(options.subset, samples)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "random.exits"
        write_table(path, (exits, samples, classes))
        opening_s, _, table = timed(lambda: load_table(path))
        print(f"{table}, {path.stat().st_size / 1e9:.2f} GB; {torch.get_num_threads()} thread(s)")
        print(f"opened in {1e3 * opening_s:.0f} ms")
        _, naive_s, expected = timed(lambda: one_by_one(table, policies, subset))
        first_s, first_cpu_s, outcomes = timed(lambda: sweep(table, policies))
        again_s, again_cpu_s, _ = timed(lambda: sweep(table, policies))
        _, later_s, _ = timed(lambda: one_by_one(table, policies, subset))
        for outcome, taken in zip(outcomes, expected, strict=True):
            assert outcome.exit_index[:subset].tolist() == taken, outcome.policy
        choose_s, choose_cpu_s, chosen = timed(lambda: choose_policy(replace(table)))

    naive_us = 1e6 * (naive_s + later_s) / 2 / (subset * len(policies))
    print(f"{len(policies)} policies one by one: {naive_us:.1f} us per sample and policy")
    for name, clock_s, cpu_s in (
        ("for the first time", first_s, first_cpu_s),
        ("again", again_s, again_cpu_s),
    ):
        each_us = 1e6 * cpu_s / (samples * len(policies))
        print(
            f"replayed {name}: {clock_s:.2f} s, {cpu_s:.2f} s of the processor; {each_us:.3f} us "
            f"per sample and policy, {naive_us / each_us:,.0f} times faster"
        )
    print(
        f"choose_policy, on a table not read yet: {choose_s:.2f} s, {choose_cpu_s:.2f} s of the "
        f"processor; {chosen.policy.spec}"
    )
    met = "met" if first_cpu_s <= CPU_S else "NOT met"
    print(f"first sweep: {first_cpu_s:.1f} s of the processor, bar {CPU_S} s {met}")


if __name__ == "__main__":
    main()
