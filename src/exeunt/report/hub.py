"""A classifier as a repository of the Hub: its weights and a card."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exeunt.hub import CARD, PREFIX, WEIGHTS, push_files
from exeunt.models import save_weights
from exeunt.profile import Profile, costs_of
from exeunt.profile.memory import spell_bytes
from exeunt.text import figure, millions, percent, short_spec
from exeunt.trained import TrainedModel

_TAGS = ("exeunt", "early-exit", "adaptive-inference", "tinyml")


def push(
    trained: TrainedModel,
    name: str,
    repository: str,
    *,
    private: bool = False,
    message: str = "Weights and card of exeunt",
) -> str:
    """Uploads weights and card in one commit; the repository is made if it is not there.

    Args:
        trained: the network and what is known of it.
        name: what it is called on the card.
        repository: `owner/name`.
        private: whether a repository that is made shows to its owner alone.
        message: of the commit.

    Returns:
        The address of the repository.

    Raises:
        ExeuntError: when huggingface_hub is not installed, or the Hub refuses.
    """
    repository = repository.removeprefix(PREFIX)
    card = hub_card(trained, name, repository)
    with tempfile.TemporaryDirectory(prefix="exeunt-") as place:
        weights = Path(place) / WEIGHTS
        save_weights(weights, trained.net.state_dict(), trained.info)
        files: dict[str, Path | bytes] = {WEIGHTS: weights, CARD: card.encode()}
        return push_files(files, repository, message=message, private=private)


def hub_card(trained: TrainedModel, name: str, repository: str) -> str:
    """The card in Markdown: front matter for the Hub, and what an exit is worth and costs.

    Args:
        trained: the network and what is known of it.
        name: what it is called.
        repository: `owner/name`, for the lines that load it.
    """
    info = trained.info
    costs = costs_of(name, trained.net, trained.transform.image_size, ["streamed"], ["int8"])
    split = next((one for one in ("test", "calibration") if one in info.metrics), None)
    found: dict[str, Any] = info.metrics[split] if split else {}
    height, width = trained.transform.image_size
    classes = ", ".join(info.class_names) or "one value"
    lines = [
        _front_matter(trained, split, found),
        f"# {name}",
        "",
        f"An image classifier that leaves early, of [exeunt](https://pypi.org/project/exeunt/): "
        f"`{info.architecture}` at {height} x {width} px. It tells: {classes}."
        if info.class_names
        else f"A network that leaves early, of exeunt: `{info.architecture}` at {height} x {width} "
        "px, for one value of an image.",
        "",
        "```python",
        "import exeunt",
        "",
        f'clf = exeunt.load("{PREFIX}{repository}")',
        'print(clf.predict("image.jpg"))',
        "```",
        "",
        f"or `exeunt predict {PREFIX}{repository} image.jpg`, and `exeunt export "
        f"{PREFIX}{repository} --calibration IMAGES --out net` for C.",
        "",
        "## What an exit is worth, and costs",
        "",
        *_table(costs, found),
        "",
        "RAM is the arena of the generated C in int8, rows of the image included, for an image "
        "that leaves there; stack and program come on top. Flash is the parameters up to there, a "
        "byte each. Both are planned, not measured; `exeunt export` prints those of the firmware.",
        "",
        *_said_of_the_policy(trained, split, found),
        "## Training",
        "",
        f"Images: {info.of_data('name')}; their terms: {info.of_data('licence')}.",
        f"Command: `{info.command}`.",
        "",
        "The weights are safetensors, which hold numbers and no code.",
    ]
    return "\n".join(lines) + "\n"


def _front_matter(trained: TrainedModel, split: str | None, found: dict[str, Any]) -> str:
    """YAML whose values are JSON, which is YAML too."""
    info = trained.info
    values: dict[str, Any] = {"library_name": "exeunt", "tags": list(_TAGS)}
    if info.task == "classification":
        values["pipeline_tag"] = "image-classification"
    if split and "accuracy" in found["exits"][-1]:
        best = found.get("policy", found["exits"][-1])["accuracy"]
        values["model-index"] = [
            {
                "name": info.architecture,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": info.of_data("name"), "type": "images", "split": split},
                        "metrics": [{"type": "accuracy", "value": round(best, 4)}],
                    }
                ],
            }
        ]
    told = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *told, "---"])


def _table(costs: Profile, found: dict[str, Any]) -> list[str]:
    memory = costs.memory("streamed", "int8")
    score = _score(found)
    title = {"accuracy": "accuracy", "mae": "mean absolute error"}.get(score or "", "")
    columns = ["exit", *([title] if score else []), "multiply-adds", "RAM", "flash"]
    rows: list[Sequence[str]] = [columns, ["---:"] * len(columns)]
    for k, macs in enumerate(costs.counts.exits):
        value = [_spelled(score, found["exits"][k][score])] if score else []
        sizes = [spell_bytes(memory.exit_bytes[k]), spell_bytes(costs.exit_parameters[k])]
        rows.append([str(k + 1), *value, millions(macs), *sizes])
    return [f"| {' | '.join(row)} |" for row in rows]


def _score(found: dict[str, Any]) -> str | None:
    return next((key for key in ("accuracy", "mae") if found and key in found["exits"][0]), None)


def _spelled(score: str, value: float) -> str:
    return percent(value) if score == "accuracy" else figure(value)


def _said_of_the_policy(
    trained: TrainedModel, split: str | None, found: dict[str, Any]
) -> list[str]:
    told = f"Images leave by `{short_spec(trained.info.policy)}` unless told otherwise."
    if not found:
        return [told, ""]
    told += f" Figures are those of the {split} split, {found['samples']:,} images"
    policy, score = found.get("policy"), _score(found)
    if policy and score:
        told += f"; with `{short_spec(policy['spec'])}` {_spelled(score, policy[score])}, "
        told += f"{percent(policy['saving'])} of the multiply-adds saved"
    return [told + ".", ""]
