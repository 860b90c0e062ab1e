"""What a run is made of when it may go on with one that has begun."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exeunt.data import DataLike
from exeunt.errors import ExeuntError
from exeunt.models import FORM, with_form
from exeunt.training.config import TrainConfig, read_recipe
from exeunt.training.run import Run


def data_and_config(
    data: DataLike | None,
    recipe: Path | None,
    given: Mapping[str, Any],
    resumed: Path | None,
    source: str = "exeunt train",
) -> tuple[DataLike, TrainConfig]:
    """The images and the settings of a run: those given, else the recipe's, else those that the
    run to go on with has; what contradicts that run is refused when its folder is opened.

    Args:
        data: The images, if they are given.
        recipe: A TOML file of settings.
        given: Settings; None where one is not given.
        resumed: Folder of the run to go on with, if that is asked for.
        source: Who gives the settings, for messages.

    Raises:
        ExeuntError: There is nothing to go on with and nothing to begin with, or a setting is
            wrong.
    """
    begun = None if resumed is None else Run(resumed).begun()
    values: dict[str, Any] = {} if begun is None else dict(begun["config"])
    if data is None:
        if begun is not None and "images" in begun and begun["images"] is None:
            raise ExeuntError(
                f"{resumed}: its images, {begun['data'].get('name')}, came from a dataset in "
                "Python; go on with it there: exeunt.train(..., resume=True)"
            )
        if begun is not None and "images" in begun:
            data = Path(begun["images"])
        elif begun is not None:
            raise ExeuntError(f"{resumed}: an older run, which does not say its images; give DATA")
        elif resumed is not None:
            raise ExeuntError(f"{resumed} holds no run to go on with; give DATA to begin one")
        else:
            raise ExeuntError("give DATA, the images to train on")
    values |= read_recipe(recipe) if recipe else {}
    values |= {key: value for key, value in given.items() if value is not None}
    if begun is not None:
        form = begun["config"]["model_args"].get(FORM)
        values["model_args"] = with_form(values["model"], values["model_args"], form)
    return data, TrainConfig.from_dict(values, str(recipe) if recipe else source)
