"""What `python run.py` does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exeunt.runner.engine import ENGINES
from exeunt.runner.error import RunnerError
from exeunt.runner.model import StagedModel


def main(folder: Path, words: Sequence[str]) -> int:
    """Classifies files one by one with the model in a folder.

    Args:
        folder: where it lies.
        words: of the command line.

    Returns:
        The exit status: 1 if a file cannot be read, 2 if the folder cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="run.py", description="Classifies images: one JSON object for each, exits from 1."
    )
    parser.add_argument("files", nargs="+", metavar="IMAGE")
    parser.add_argument("--policy", metavar="SPEC", help="when to leave; stored: see manifest.json")
    parser.add_argument("--threads", type=int, default=0, help="all cores by default")
    parser.add_argument("--engine", choices=[*ENGINES], default="onnxruntime")
    asked = parser.parse_args(words)
    try:
        model = StagedModel(folder, asked.threads, asked.policy, engine=asked.engine)
    except RunnerError as error:
        print(error, file=sys.stderr)
        return 2
    status = 0
    for file in asked.files:
        try:
            taken = model.predict([model.load(file)])
        except RunnerError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        answer: dict[str, Any] = {"value": float(taken.logits[0, 0])}
        if model.class_names:
            best, share = taken.class_index[0], float(taken.probabilities.max())
            answer = {"class": model.class_names[best], "probability": share}
        print(json.dumps({"file": file, **answer, "exit": int(taken.exit_index[0]) + 1}))
    return status
