"""Trains what the papers' tables and figures need, and writes a row for each training that ends.

    python experiments/run.py --data SETS --plan            # what is there, what is missing
    python experiments/run.py --data SETS                   # everything that is missing
    python experiments/run.py table3 figure6 --data SETS    # of these studies
    python experiments/run.py rex_search --run rex-min-norm --seed 1 --data SETS  # this one again
    python experiments/run.py table3 --scale paper --commands --data SETS

SETS is a folder that holds the images, see `experiments/harness/images.py`. One training runs after
the other, on `--threads` threads; one that was stopped, by Ctrl-C or a kill, goes on. At the scale
of the papers, `--commands` prints the command of every training; without it they run, under
`torchrun` on several processes. Rows are in `experiments/results`; `render.py` makes a page.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from harness.images import open_set
from harness.results import FOLDER, ROOT, add_row, origin, read_rows
from harness.study import SCALES, Run, ScaleName, Study
from studies import FIRST, STUDIES

import exeunt
from exeunt.errors import ExeuntError
from exeunt.text import aligned
from exeunt.training import TrainConfig
from exeunt.training.allocator import keep_freed_memory

Task = tuple[Study, Run, int]
MINUTES = 15.0  # of a training of which nothing is known


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--data", type=Path, required=True, metavar="SETS")
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--plan", action="store_true", help="list all trainings and run none")
    parser.add_argument("--commands", action="store_true", help="print commands and run none")
    parser.add_argument("--run", help="this one alone, again if it is there")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.studies if name not in STUDIES]
    if unknown:
        parser.error(f"no study {unknown[0]!r}; one of {', '.join(STUDIES)}")
    studies = [STUDIES[name] for name in chosen.studies or STUDIES]
    lacking = [study.name for study in studies if chosen.scale not in study.scales]
    if chosen.studies and lacking:
        parser.error(f"study {lacking[0]!r} has no {chosen.scale} scale")
    studies = [study for study in studies if study.name not in lacking]
    tasks = [
        (study, run, seed)
        for study, run, seed in in_order(studies)
        if chosen.run in (None, run.name) and chosen.seed in (None, seed)
    ]
    if not tasks:
        wanted = " ".join(f"{one}" for one in (chosen.run, chosen.seed) if one is not None)
        parser.error(f"no training {wanted!r} in {', '.join(one.name for one in studies)}")
    done = {
        (study.name, row["run"], int(row["seed"])): float(row["minutes"])
        for study in studies
        for row in read_rows(study, chosen.results)
        if row["scale"] == chosen.scale
    }
    missing = [task for task in tasks if chosen.run or _key(task) not in done]
    if chosen.plan:
        print(*plan(tasks, done), sep="\n")
        return
    if chosen.commands:
        for study, run, seed in missing:
            data = chosen.data / study.scales[chosen.scale].images
            for each in (run.teacher, run):
                if each is not None:
                    config = _config((study, each, seed), chosen.scale)
                    print(command(config, data, _folder(study, each, seed, chosen.scale)))
        return
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    for k, task in enumerate(missing):
        study, run, seed = task
        left = f"{len(missing) - k} left, about {remaining(missing[k:], done) / 60:.1f} hours"
        _say(f"{study.name}: {run.name}, seed {seed}; {left}")
        row = train_and_measure(task, chosen.scale, chosen.data)
        if row is not None:
            add_row(study, row, chosen.results)
            done[_key(task)] = row["minutes"]


def in_order(studies: list[Study]) -> Iterator[Task]:
    """First seeds before others, as the studies come; but all of `FIRST` before the rest."""
    tasks = [(study, run, seed) for study in studies for run in study.runs for seed in run.seeds]

    def rank(task: Task) -> tuple[bool, int]:
        return task[0].name not in FIRST, task[1].seeds.index(task[2])

    yield from sorted(tasks, key=rank)


def plan(tasks: list[Task], done: dict[tuple[str, str, int], float]) -> list[str]:
    """A line for each training, and one for all."""
    rows = [
        (
            study.name,
            run.name,
            f"seed {seed}",
            "done" if _key((study, run, seed)) in done else "missing",
        )
        for study, run, seed in tasks
    ]
    missing = [task for task in tasks if _key(task) not in done]
    hours = remaining(missing, done) / 60
    said = f"{len(tasks) - len(missing)} of {len(tasks)} done; about {hours:.1f} hours are left"
    return [*aligned(rows, "llll"), said]


def remaining(missing: list[Task], done: dict[tuple[str, str, int], float]) -> float:
    """Minutes, from the mean of what the same study took, or of all."""
    took: dict[str, list[float]] = {}
    for (study, _, _), minutes in done.items():
        took.setdefault(study, []).append(minutes)
    usual = mean(done.values()) if done else MINUTES
    return sum(mean(took[study.name]) if study.name in took else usual for study, _, _ in missing)


def train_and_measure(task: Task, scale: ScaleName, sets: Path) -> dict[str, Any] | None:
    """Trains, or goes on training, and returns the row; None for all processes but the first."""
    study, run, seed = task
    config = _config(task, scale)
    data = open_set(study.scales[scale].images, sets)
    if run.teacher is not None:  # its folder stays, for others that learn from it
        _train((study, run.teacher, seed), scale, data)
    folder = _folder(study, run, seed, scale)
    started = time.monotonic()
    clf = _train(task, scale, data)
    if int(os.environ.get("RANK", "0")) > 0:
        return None
    figures = study.measure(clf, data, folder)
    minutes = (time.monotonic() - started) / 60
    shutil.rmtree(folder)
    known = {"run": run.name, "seed": seed, "scale": scale, "recipe": run.recipe}
    return known | {"epochs": config.epochs} | figures | origin(minutes)


def _train(task: Task, scale: ScaleName, data: Any) -> exeunt.Classifier:
    """Trains, or goes on training."""
    settings = _config(task, scale).to_dict()
    given = {key: value for key, value in settings.items() if value is not None}
    return exeunt.train(data, _folder(*task, scale), resume=True, **given)


def _config(task: Task, scale: ScaleName) -> TrainConfig:
    """All settings of a training, its teacher's folder among them."""
    study, run, seed = task
    config = study.config(run, seed, scale)
    if run.teacher is None:
        return config
    return replace(config, teacher=str(_folder(study, run.teacher, seed, scale)))


def command(config: TrainConfig, data: Path, out: Path) -> str:
    """What trains this on eight processes, as a shell takes it."""
    words = ["torchrun", "--standalone", "--nproc-per-node=8", "-m", "exeunt"]
    if config.model in OWN:
        words += ["--import", str(Path("experiments") / "studies" / OWN[config.model])]
    words += ["train", str(data), "--out", str(out)]
    default = TrainConfig.defaults()
    for key, value in config.to_dict().items():
        option = "--" + key.replace("_", "-")
        if key == "model_args":
            words += [
                word for name, one in value.items() for word in ("--set", f"{name}={_toml(one)}")
            ]
        elif key == "model":
            words += ["--model", value]
        elif value is None or value == default.get(key):
            continue
        elif isinstance(value, bool):
            words.append(option if value else NEGATED[key])
        else:
            words += [option, str(value)]
    return shlex.join(words)


OWN = {"one_layer": "figure6.py"}
NEGATED = {"grey": "--rgb", "flip": "--no-flip", "deterministic": "--no-deterministic"}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _folder(study: Study, run: Run, seed: int, scale: ScaleName) -> Path:
    name = "".join(letter if letter.isalnum() else "-" for letter in run.name)
    return ROOT / "runs" / "experiments" / scale / f"{study.name}-{name}-{seed}"


def _key(task: Task) -> tuple[str, str, int]:
    study, run, seed = task
    return study.name, run.name, seed


def _say(text: str) -> None:
    if int(os.environ.get("RANK", "0")) == 0:
        print(text, flush=True)


if __name__ == "__main__":
    try:
        main()
    except ExeuntError as error:
        sys.exit(f"Error: {error}")
