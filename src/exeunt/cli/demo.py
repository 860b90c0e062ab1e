"""`exeunt demo`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import OnePolicy
from exeunt.cli.render import show_table
from exeunt.errors import ExeuntError
from exeunt.output_file import check_output
from exeunt.text import figure, percent, short_spec

if TYPE_CHECKING:
    from exeunt.report.exits_figure import ClassifiedImage
    from exeunt.trained import TrainedModel

TAG = "everyday"
MOST_IMAGES = 100
# Photographs inside the wheels of scikit-image and matplotlib: package, file, what it shows among
# the classes of the model that ships, if any.
SKIMAGE, MATPLOTLIB = ("skimage", "data"), ("matplotlib", "mpl-data/sample_data")
SAMPLES = (
    (SKIMAGE, "astronaut.png", "person"),
    (SKIMAGE, "camera.png", "person"),
    (MATPLOTLIB, "grace_hopper.jpg", "person"),
    (SKIMAGE, "chelsea.png", "cat"),
    (SKIMAGE, "coffee.png", "food"),
    (SKIMAGE, "motorcycle_left.png", "vehicle"),
    (SKIMAGE, "rocket.jpg", None),
    (SKIMAGE, "coins.png", None),
    (SKIMAGE, "hubble_deep_field.jpg", None),
)


def demo(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE]...", help="Your own files or folders, instead of the samples."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(show_default=False, help="Instead of the weights that ship."),
    ] = None,
    policy: OnePolicy = None,
    out: Annotated[Path, typer.Option(help="The picture to write (PNG).")] = Path(
        "exeunt-demo.png"
    ),
) -> None:
    """Watch a network leave early on photographs."""
    from exeunt.data.named_images import find_images
    from exeunt.report.classified import classify_images
    from exeunt.report.exits_figure import draw_exits
    from exeunt.trained import TrainedModel

    if out.suffix.lower() != ".png":
        raise ExeuntError(f"--out {out}: the picture is PNG; give a name that ends in .png")
    trained = TrainedModel.load(model or shipped_demo())
    chosen = trained.policy(policy)
    named = [(file, None) for file in find_images(images)] if images else samples()
    check_output("--out", out, [file for file, _ in named])
    if len(named) > MOST_IMAGES:
        raise ExeuntError(
            f"{len(named)} images are too many for one picture; give at most {MOST_IMAGES}, "
            "or use `exeunt predict`"
        )
    shots = classify_images(trained, named, chosen)
    if not shots:
        raise ExeuntError("none of the images can be read")
    _show(shots, trained)
    summary = _summary(shots, trained)
    picture = 'none without matplotlib; pip install "exeunt[demo]"'
    if find_spec("matplotlib"):
        draw_exits(out, shots, trained.exit_macs, summary)
        picture = str(out)
    typer.echo(f"\n{summary}\npolicy: {short_spec(chosen.spec)}\npicture: {picture}")
    typer.echo(_own_split(trained))
    if len(shots) < len(named):
        raise typer.Exit(1)


def shipped_demo() -> str:
    """Name of the weights that the demo uses unless told otherwise.

    Raises:
        ExeuntError: when this copy of the package brings none.
    """
    from exeunt.models import shipped_weights

    names = [name for name in shipped_weights() if TAG in name]
    if not names:
        raise ExeuntError(f"no {TAG!r} weights ship with this copy; name weights with --model")
    return next((name for name in names if name.startswith("rex_")), names[0])


def samples() -> list[tuple[Path, str | None]]:
    """Sample photographs that are installed, with the class they belong to where there is one;
    the one that ships, where scikit-image and matplotlib are missing.
    """
    found = []
    for (package, folder), name, expected in SAMPLES:
        try:
            root = resources.files(package)
        except ModuleNotFoundError:
            continue
        found.append((Path(str(root / folder / name)), expected))
    return found or [(Path(str(resources.files("exeunt.report") / "coffee.jpg")), "food")]


def _show(shots: Sequence[ClassifiedImage], trained: TrainedModel) -> None:
    exits = trained.net.num_exits
    marks = {None: "-", True: "✓", False: "✗"}
    show_table(
        ("", "image", "shows", "left at", "saved", "prediction after every exit"),
        [
            (
                marks[shot.right],
                shot.name,
                shot.expected or "-",
                f"exit {shot.exit_index + 1} of {exits}",
                percent(trained.saving(shot.exit_index)),
                _path(shot),
            )
            for shot in shots
        ],
        "lllrrl",
    )
    typer.echo("\nIn brackets: exits that were not run; computed here to show what they would say.")


def _path(shot: ClassifiedImage) -> str:
    run, skipped = shot.answers[: shot.exit_index + 1], shot.answers[shot.exit_index + 1 :]
    return " > ".join(run) + (f" ({' > '.join(skipped)})" if skipped else "")


def _summary(shots: Sequence[ClassifiedImage], trained: TrainedModel) -> str:
    saved = sum(trained.saving(shot.exit_index) for shot in shots) / len(shots)
    judged = [shot.right for shot in shots if shot.right is not None]
    right = f", {sum(judged)} of {len(judged)} right" if judged else ""
    plural = "s" if len(shots) > 1 else ""
    return f"{len(shots)} image{plural}{right}, {percent(saved)} of the MACs saved"


def _own_split(trained: TrainedModel) -> str:
    """What the weights' own metadata say of images that the training never saw."""
    info = trained.info
    measured: dict[str, Any] = info.metrics.get("test", {}).get("policy", {})
    if not measured:
        return "The weights carry no figures of their policy on a test split."
    if "accuracy" in measured:
        score = f"{percent(measured['accuracy'])} accuracy"
    else:
        score = f"mean absolute error {figure(measured['mae'])}"
    return (
        f"On {info.metrics['test']['samples']} test images of {info.of_data('name')}: {score}, "
        f"{percent(measured['saving'])} of the MACs saved by {short_spec(measured['spec'])}"
    )
