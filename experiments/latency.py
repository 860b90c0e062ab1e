"""How long the networks of Figure 4 take to each exit, side by side in three engines.

    python experiments/latency.py

MobileNetV2 at width 0.5 with six exits, with and without ReX, at 64 pixels, ten classes, weights
without meaning: time does not depend on them. One image at a time on one thread; networks and
engines take turns. Writes `experiments/results/latency.csv`; `render.py` reads it.
"""

from __future__ import annotations

import torch
from harness.measure import listed
from harness.results import origin, write_table
from studies.figure4 import COLUMNS, ENGINES, RUNS
from studies.table3 import STUDY

from exeunt.bench import (
    BenchOptions,
    Candidate,
    Workload,
    engines_named,
    measure_side_by_side,
    random_pixels,
    set_batch_statistics,
)
from exeunt.data import Transform
from exeunt.models import create_model

CLASSES = 10
TIMES = 200


def main() -> None:
    asked = BenchOptions(None, 8, None, None, None, None)
    candidates = [candidate(name) for name in RUNS]
    found = measure_side_by_side(candidates, engines_named(ENGINES), asked, runs=TIMES)
    size = "x".join(map(str, candidates[0].workload.transform.image_size))
    known = {
        "image_size": size,
        "commit": origin(0)["commit"],
        "processor": found.machine["processor"],
    }
    rows = []
    for row in found.rows:
        taken = {"min_ms": row.timing.low_ms, "median_ms": row.timing.median_ms}
        named = {"run": row.candidate.workload.name, "engine": row.engine}
        rows.append(named | {key: listed(values) for key, values in taken.items()} | known)
    write_table("latency", COLUMNS, rows)


def candidate(name: str) -> Candidate:
    """The network of a run, without training."""
    run = next(one for one in STUDY.runs if one.name == name)
    config = STUDY.config(run, 0, "small")
    transform = Transform((config.image_size,) * 2)
    pixels = random_pixels(8, transform)
    images = torch.stack([transform.normalise_pixels(one) for one in pixels])
    torch.manual_seed(0)
    net = create_model(config.model, num_classes=CLASSES, **config.model_args)
    net = set_batch_statistics(net, images)
    names = tuple(f"class {k}" for k in range(CLASSES))
    return Candidate(
        Workload(name, net, transform, pixels, [images], names), None, None, None, None
    )


if __name__ == "__main__":
    main()
