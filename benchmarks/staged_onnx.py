"""What the staged runner adds to its stages, and what batches and engines do to it.

    python benchmarks/staged_onnx.py FOLDER [--threads 1]

FOLDER is one of `exeunt export --target onnx`. Milliseconds for one image that goes through all
exits; tasks take turns, so that a busy machine slows all of them, and the minimum counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from exeunt.runner import ENGINES, StagedModel

NEVER = ("full", "confidence:inf", "margin:inf", "entropy:-inf", "consistency:99")


def in_turn(tasks: dict[Any, Callable[[], object]], repeats: int) -> dict[Any, float]:
    """The least milliseconds of each task."""
    least = dict.fromkeys(tasks, np.inf)
    for repeat in range(repeats + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if repeat:
                least[name] = min(least[name], 1e3 * (time.perf_counter() - start))
    return least


def added(model: StagedModel, image: np.ndarray, repeats: int = 500) -> float:
    """Milliseconds of `predict` that no stage runs in, the median."""
    inside = 0.0

    def timed(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def running(feeds: Any) -> Any:
            nonlocal inside
            start = time.perf_counter()
            found = run(feeds)
            inside += time.perf_counter() - start
            return found

        return running

    for stage in model.chain.stages:
        session: Any = stage.session
        session.run = timed(session.run)
    outside = []
    for _ in range(repeats):
        inside, start = 0.0, time.perf_counter()
        model.predict(image)
        outside.append(1e3 * (time.perf_counter() - start - inside))
    return statistics.median(outside)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()

    def opened(policy: str = "full", **settings: Any) -> StagedModel:
        return StagedModel(asked.folder, asked.threads, policy, **settings)

    shape = opened().image_shape
    x = np.random.default_rng(0).normal(size=(32, *shape)).astype(np.float32)
    print("added to all stages of one image, by a policy that lets nobody leave:")
    for policy in NEVER:
        print(f"  {added(opened(policy), x[:1]):.3f} {policy}")

    print("batch 32, for each image, so many at once:")
    models = {count: opened(at_once=count) for count in (1, 4, 8, 32)}
    tasks = {count: lambda model=model: model.predict(x) for count, model in models.items()}
    for count, ms in in_turn(tasks, 20).items():
        print(f"  {ms / 32:.2f} {count}")

    print("engines, for each image:")
    models = {engine: opened(engine=engine) for engine in ENGINES if find_spec(engine)}
    for batch, repeats in ((1, 300), (32, 20)):
        tasks = {e: lambda m=model, n=batch: m.predict(x[:n]) for e, model in models.items()}
        for engine, ms in in_turn(tasks, repeats).items():
            print(f"  {ms / batch:.2f} {engine}, batch {batch}")


if __name__ == "__main__":
    main()
