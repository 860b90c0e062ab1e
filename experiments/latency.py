"""How long the networks of Figure 4 take to each exit, side by side in three engines.

    python experiments/latency.py

MobileNetV2 at width 0.5 with six exits, with and without ReX, at 64 pixels, ten classes, weights
without meaning: time does not depend on them. One image at a time on one thread; networks and
engines take turns. Writes `experiments/results/latency.csv`; `render.py` reads it.
"""

from __future__ import annotations

import csv

import torch
from harness.measure import listed
from harness.results import FOLDER, origin
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
from exeunt.files import replacing
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
    FOLDER.mkdir(exist_ok=True)
    with replacing(FOLDER / "latency.csv") as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in found.rows:
            timing = row.timing
            taken = {"min_ms": listed(timing.low_ms), "median_ms": listed(timing.median_ms)}
            named = {"run": row.candidate.workload.name, "engine": row.engine}
            writer.writerow(named | taken | known)


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
