"""`exeunt train`."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

# Parameters of `train` that are no keys of a recipe.
_NOT_SETTINGS = (
    *("context", "data", "out", "recipe", "model_arg", "resume"),
    *("device", "threads", "workers", "sync_batchnorm", "log"),
)


def option(help: str, *names: str) -> Any:
    """An option whose absence leaves the recipe's value, or the default."""
    return typer.Option(*names, help=help, show_default=False)


def train(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            show_default=False,
            help="A folder of class folders, perhaps below train/ and val/ or test/; a CSV of "
            "file,label or file,value; tar shards; or CIFAR, MNIST or ImageNet as published. "
            "With --resume, that of the run.",
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    model: Annotated[str | None, option("Architecture; see `exeunt list`.")] = None,
    init: Annotated[
        str | None, option("Begin with these weights: run folder, file or shipped name.")
    ] = None,
    recipe: Annotated[
        Path | None, option("TOML file with any of the settings below; options override it.")
    ] = None,
    model_arg: Annotated[
        list[str] | None,
        option("Argument of the architecture, KEY=VALUE; may be given several times.", "--set"),
    ] = None,
    regime: Annotated[
        str | None,
        option(
            "joint, mixed, shallow_deep, exits, successive, distilled, stem (these from --init) or "
            "your own [joint]."
        ),
    ] = None,
    mixed_share: Annotated[
        float | None, option("Of the epochs for the last exit, or a stem's map, alone [0.5].")
    ] = None,
    teacher: Annotated[
        str | None, option("Distil all exits from it: run folder, weights file or shipped name.")
    ] = None,
    distil_share: Annotated[float | None, option("Of the teacher in the loss [0.1].")] = None,
    distil_temperature: Annotated[float | None, option("Of its logits [1].")] = None,
    gradient_equilibrium: Annotated[
        bool | None,
        option("Balance the exits' gradients.", "--gradient-equilibrium/--no-gradient-equilibrium"),
    ] = None,
    quantize_aware: Annotated[
        bool | None,
        option(
            "Train for int8: round as it rounds (from --init).",
            "--quantize-aware/--no-quantize-aware",
        ),
    ] = None,
    epochs: Annotated[int | None, option("Passes over the train split [40].")] = None,
    image_size: Annotated[int | None, option("Height and width of the input [224].")] = None,
    train_size: Annotated[
        int | None, option("Height and width of the augmented images [as --image-size].")
    ] = None,
    batch_size: Annotated[int | None, option("Images of a step [64].")] = None,
    limit: Annotated[
        int | None, option("At most N train and N test images, seeded and stratified.")
    ] = None,
    exits: Annotated[
        str | None,
        option('"paper", "all", "last", blocks "1,3"; of other libraries "4" or modules [paper].'),
    ] = None,
    exit_head: Annotated[
        str | None,
        option(
            "pooled, mixed, rex, conv or your own, or one for each exit, rex,conv "
            "[the architecture's]."
        ),
    ] = None,
    grey: Annotated[bool | None, option("One luma channel.", "--grey/--rgb")] = None,
    optimizer: Annotated[str | None, option("sgd or adamw [sgd].")] = None,
    lr: Annotated[float | None, option("Peak learning rate [0.05; adamw 0.003].")] = None,
    warmup_epochs: Annotated[float | None, option("Of linear warm-up [2].")] = None,
    momentum: Annotated[float | None, option("Of SGD, or AdamW's beta1 [0.9].")] = None,
    beta2: Annotated[float | None, option("Of AdamW [0.99].")] = None,
    weight_decay: Annotated[float | None, option("On weight matrices [1e-4; adamw 0.05].")] = None,
    cell_optimizer: Annotated[
        str | None, option("Of recurrent cells, in ReX for one [as --optimizer].")
    ] = None,
    cell_lr: Annotated[float | None, option("Of recurrent cells [as --lr].")] = None,
    cell_weight_decay: Annotated[
        float | None, option("On matrices of recurrent cells [as --weight-decay].")
    ] = None,
    clip_norm: Annotated[float | None, option("Of a step's gradient, 0: no limit [5].")] = None,
    label_smoothing: Annotated[float | None, option("Of the cross-entropy [0.1].")] = None,
    class_weights: Annotated[str | None, option("balanced: all classes weigh alike.")] = None,
    ema_decay: Annotated[float | None, option("Of the averaged weights [0.998].")] = None,
    crop_scale: Annotated[float | None, option("Least area of a random crop [0.35].")] = None,
    flip: Annotated[bool | None, option("Mirror half of the images.", "--flip/--no-flip")] = None,
    colour: Annotated[
        float | None, option("Largest change of brightness, contrast, saturation [0].")
    ] = None,
    erase: Annotated[float | None, option("Share of images that lose a rectangle [0].")] = None,
    augment: Annotated[
        str | None, option("trivial, or your own: besides the above, see `exeunt list --all`.")
    ] = None,
    mixup: Annotated[float | None, option("Mix images, by shares from Beta(A, A) [0].")] = None,
    cutmix: Annotated[float | None, option("Put a part of another image in, likewise [0].")] = None,
    precision: Annotated[str | None, option("float32 or bfloat16 (autocast).")] = None,
    storage: Annotated[str | None, option("Of the weights file: float32 or float16.")] = None,
    seed: Annotated[int | None, option("Of weights, splits, order and augmentation [0].")] = None,
    deterministic: Annotated[
        bool | None,
        option(
            "Refuse operations whose result depends on scheduling.",
            "--deterministic/--no-deterministic",
        ),
    ] = None,
    calibration_fraction: Annotated[float | None, option("Held out of train [0.15].")] = None,
    test_fraction: Annotated[
        float | None, option("Held out where DATA has no test images [0.15].")
    ] = None,
    allow_unreadable: Annotated[
        float | None, option("Share of a split's images that may be unreadable [0.01].")
    ] = None,
    data_licence: Annotated[str | None, option("Terms of the images, kept with them.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    threads: Annotated[int | None, option("Of the CPU; all by default.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that load images.")] = 1,
    sync_batchnorm: Annotated[
        bool, typer.Option("--sync-batchnorm", help="Batch norms see all processes' images (GPUs).")
    ] = False,
    log: Annotated[
        list[str] | None,
        option("Log to tensorboard, wandb or trackio too; may be given several times."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run in --out, by its own data and settings."),
    ] = False,
) -> None:
    """Train a network with exits on labelled images.

    Leaves a run folder: best.safetensors (weights, policy, figures), metrics.csv, run.json and
    the state to --resume from. Nothing is tuned on the test images.
    """
    given = {key: value for key, value in locals().items() if key not in _NOT_SETTINGS}
    from exeunt.documents import parse_pairs
    from exeunt.training.resume import data_and_config

    given["model_args"] = parse_pairs(model_arg, "--set") if model_arg else None
    images, config = data_and_config(data, recipe, given, out if resume else None)
    import torch

    from exeunt.training import Execution, Quiet, make_logger, processes_here
    from exeunt.training import train as run_training
    from exeunt.training.allocator import keep_freed_memory
    from exeunt.training.run import Run
    from exeunt.training.terminal import TerminalProgress

    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    processes = processes_here(device, sync_batchnorm)
    loggers = [make_logger(name) for name in log or ()]
    watched = TerminalProgress(out) if processes.rank == 0 else nullcontext(Quiet())
    with watched as progress:
        typed = _command(processes.size, sys.argv[1:])
        execution = Execution(processes, workers, typed, progress, loggers)
        try:
            run_training(config, images, out, resume=resume, execution=execution)
        except KeyboardInterrupt:
            if processes.rank == 0 and Run(out).begun() is not None:
                how = ["--device", device] if device != "cpu" else []
                how += [] if threads is None else ["--threads", str(threads)]
                how += ["--workers", str(workers)] if workers != 1 else []
                how += ["--sync-batchnorm"] if sync_batchnorm else []
                how += [word for name in log or () for word in ("--log", name)]
                own = [f"--import={m}" for m in context.find_root().params["modules"] or ()]
                words = [*own, "train", "--resume", "--out", str(out), *how]
                again = _command(processes.size, words)
                progress.interrupted(again)
            raise


def _command(processes: int, arguments: list[str]) -> str:
    """What a user types for these arguments and so many processes."""
    typed = shlex.join(["exeunt", *arguments])
    if processes == 1:
        return typed
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = f"--nnodes {processes // local} " if processes > local else ""
    return f"torchrun {nodes}--nproc-per-node {local} -m {typed}"
