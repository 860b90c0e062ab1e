"""What makes ReX train well: one trial after another, judged on calibration images alone.

    python experiments/rex_search.py imagenette128             # everything that is missing
    python experiments/rex_search.py imagenette128 --plan      # what is there, what is missing
    python experiments/rex_search.py imagenette128 --trial rex-min-norm --seed 1
    python experiments/rex_search.py --page                    # the table of docs/rex.md again

MobileNetV2 at width 0.5 with six exits, with and without ReX, at 64 pixels. A quarter of the
training images is held out for calibration; a row has its accuracies there, by the averaged weights
after the last epoch. Test images are not looked at. A finished trial is a row of
`experiments/rex_search.csv`; one that was stopped goes on. Rows of before, evaluated at 80 pixels,
are in `rex_search_80px.csv`; `docs/rex.md` says why they are not compared.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from exeunt.models import create_model
from exeunt.training import Execution, TrainConfig, train
from exeunt.training.allocator import keep_freed_memory

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_suffix(".csv")
PAGE = ROOT / "docs" / "rex.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
EXITS = 6
FIELDS = ("trial", "seed", "settings", *(f"exit_{k}" for k in range(1, EXITS + 1)))
FIELDS += ("macs", "epochs", "minutes", "commit", "torch")
COMMON: dict[str, Any] = {
    "image_size": 64,
    "epochs": 16,
    "batch_size": 64,
    "calibration_fraction": 0.25,
    "data_licence": "pictures of ImageNet: non-commercial research and education only",
}


@dataclass(frozen=True)
class Trial:
    """One set of settings.

    Attributes:
        name: in the results.
        model: architecture.
        form: of ReX, what differs from the paper's; None for a network without ReX.
        settings: of the training, beside those that all trials have.
        seeds: to train with, in this order.
    """

    name: str
    model: str = "rex_mobilenetv2_050"
    form: dict[str, Any] | None = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)

    def config(self, seed: int) -> TrainConfig:
        arguments = {"rex_form": self.form} if self.form else {}
        settings = COMMON | self.settings
        return TrainConfig(self.model, model_args=arguments, seed=seed, **settings)


ADAMW: dict[str, Any] = {"optimizer": "adamw"}
CELLS: dict[str, Any] = ADAMW | {"cell_weight_decay": 0.0}
NORM: dict[str, Any] = {"norm": True, "remember": True}
MIN: dict[str, Any] = {"cell": "mingru", "norm": True, "remember": True}
PLAIN: dict[str, Any] = {"model": "mobilenetv2_050", "form": None}

TRIALS = (
    Trial("plain-adamw", **PLAIN, settings=ADAMW, seeds=(0, 1, 2)),
    Trial("rex-min-norm", form=MIN, settings=CELLS, seeds=(0, 1, 2)),
    Trial("rex-gru-norm", form=NORM, settings=CELLS, seeds=(0, 1, 2)),
    Trial("rex-paper-adamw", settings=ADAMW),
    # What helps minGRU, one thing at a time.
    Trial("rex-min-norm-pooled", form=MIN | {"pooled": True}, settings=CELLS),
    Trial("rex-min-norm-act", form=MIN | {"act": True}, settings=CELLS),
    Trial("rex-min-norm-patch8", form=MIN | {"patch_size": 8}, settings=CELLS),
    Trial("rex-min-norm-hidden24", form=MIN | {"hidden1": 24}, settings=CELLS),
    Trial("rex-min", form={"cell": "mingru"}, settings=ADAMW),
    Trial("rex-min-remember", form={"cell": "mingru", "remember": True}, settings=CELLS),
    # The first exit is where ReX is behind.
    Trial("rex-min-norm-exit1", form=MIN, settings=CELLS | {
        "exit_head": "rex,pooled,pooled,pooled,pooled,pooled"}),
    Trial("rex-min-norm-pooled-act", form=MIN | {"pooled": True, "act": True}, settings=CELLS),
    # Other cells in the same form.
    Trial("rex-fastgrnn-norm", form={"cell": "fastgrnn", "norm": True}, settings=CELLS),
    Trial("rex-lstm-norm", form=NORM | {"cell": "lstm"}, settings=CELLS),
    # The optimiser, with equal effort for both.
    Trial("plain-sgd", **PLAIN),
    Trial("rex-paper-sgd"),
    Trial("rex-gru-norm-sgd", form=NORM, settings={"cell_weight_decay": 0.0}),
    Trial("rex-gru-cells-adamw", settings={"cell_optimizer": "adamw", "cell_lr": 3e-3}),
    Trial("plain-adamw-lr6", **PLAIN, settings=ADAMW | {"lr": 6e-3}),
    Trial("rex-min-norm-lr6", form=MIN, settings=CELLS | {"lr": 6e-3}),
    Trial("plain-adamw-lr1.5", **PLAIN, settings=ADAMW | {"lr": 1.5e-3}),
    Trial("rex-min-norm-lr1.5", form=MIN, settings=CELLS | {"lr": 1.5e-3}),
    Trial("plain-adamw-decay15", **PLAIN, settings=ADAMW | {"weight_decay": 0.15}),
    Trial("rex-min-norm-decay15", form=MIN, settings=CELLS | {"weight_decay": 0.15}),
    Trial("rex-min-norm-celldecay", form=MIN, settings=ADAMW),
    Trial("rex-min-norm-celllr", form=MIN, settings=CELLS | {"cell_lr": 1e-2}),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, nargs="?", help="Imagenette, its images 128 pixels wide and high"
    )
    parser.add_argument("--page", action="store_true", help="write the table of the page, run none")
    parser.add_argument("--trial", help="this one alone, again if it is there")
    parser.add_argument("--seed", type=int, default=0, help="of --trial")
    parser.add_argument("--plan", action="store_true", help="list all trials and run none")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.page:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return
    if chosen.data is None:
        parser.error("give the folder of Imagenette")
    if chosen.trial is not None:
        named = {trial.name: trial for trial in TRIALS}
        if chosen.trial not in named:
            parser.error(f"no trial {chosen.trial!r}; one of {', '.join(named)}")
        queue = [(named[chosen.trial], chosen.seed)]
    else:
        queue = [(trial, seed) for trial in TRIALS for seed in trial.seeds]
        queue.sort(key=lambda entry: entry[0].seeds.index(entry[1]))  # all first seeds first
    there = {(row["trial"], int(row["seed"])) for row in read_results()}
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    for trial, seed in queue:
        done = (trial.name, seed) in there
        if chosen.plan:
            print(f"{trial.name:28} seed {seed}  {'done' if done else 'missing'}")
        elif chosen.trial is not None or not done:
            print(f"{trial.name}, seed {seed}", flush=True)
            add_result(run(trial, seed, chosen.data))


def run(trial: Trial, seed: int, data: Path) -> dict[str, Any]:
    """Trains, or goes on training, and returns the row."""
    folder = ROOT / "runs" / "rex_search" / f"{trial.name}-{seed}"
    config = trial.config(seed)
    started = time.monotonic()
    train(config, data, folder, resume=folder.exists(), execution=Execution(workers=0))
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    shutil.rmtree(folder)
    print(f"  {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
    net = create_model(config.model, num_classes=10, **config.model_args)
    exits = {f"exit_{k}": epochs[-1][f"calibration_accuracy_{k}"] for k in range(1, EXITS + 1)}
    seconds = sum(float(epoch["seconds"]) for epoch in epochs)
    return {
        "trial": trial.name,
        "seed": seed,
        "settings": " ".join(f"{k}={v}" for k, v in (trial.settings | (trial.form or {})).items()),
        **exits,
        "macs": net.exit_info(config.image_size)[-1].macs,
        "epochs": config.epochs,
        "minutes": round(seconds / 60, 1),
        "commit": commit(),
        "torch": torch.__version__,
    }


def commit() -> str:
    """Of the code that runs, short."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def read_results() -> list[dict[str, str]]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def add_result(row: dict[str, Any]) -> None:
    fresh = not RESULTS.exists()
    with RESULTS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def with_table(page: str) -> str:
    """The page with a table of all rows that there are, by trial; seeds one below the other."""
    rows = read_results()
    plain = {row["seed"]: row for row in rows if row["trial"] == "plain-adamw"}
    order = [trial.name for trial in TRIALS]
    rows.sort(key=lambda row: (order.index(row["trial"]), int(row["seed"])))
    lines = ["| trial | settings | seed | exits 1 ... 6, % | last exit against plain | MACs |"]
    lines.append("| --- | --- | ---: | --- | ---: | ---: |")
    for row in rows:
        exits = [100 * float(row[f"exit_{k}"]) for k in range(1, EXITS + 1)]
        other = plain.get(row["seed"])
        gain = "" if other is None else f"{exits[-1] - 100 * float(other[f'exit_{EXITS}']):+.1f}"
        lines.append(
            f"| {row['trial']} | {row['settings']} | {row['seed']} | "
            f"{' '.join(f'{accuracy:.1f}' for accuracy in exits)} | {gain} | "
            f"{int(row['macs']) / 1e6:.1f} M |"
        )
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"


if __name__ == "__main__":
    main()
