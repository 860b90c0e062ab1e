"""What docs/scale.md starts on clusters is no nonsense as far as one machine can tell."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from exeunt.cli import app

PAGE = (Path(__file__).parent.parent / "docs" / "scale.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def parse(words: list[str]) -> None:
    verb, *arguments = words
    command = typer.main.get_command(app).get_command(None, verb)  # type: ignore[attr-defined]
    assert command is not None, verb
    command.make_context(verb, arguments)


@pytest.mark.parametrize("script", blocks("bash"))
def test_the_scripts_for_slurm(script: str) -> None:
    if bash := shutil.which("bash"):
        subprocess.run([bash, "-n"], input=script.encode(), check=True)
    text = script.replace("\\\n", " ").replace("$resume", "--resume")
    (line,) = [line for line in text.splitlines() if re.search(r"\bexeunt (score|train)\b", line)]
    words = shlex.split(line)
    parse(words[words.index("exeunt") + 1 :])
    assert len(script.splitlines()) <= 10


@pytest.mark.parametrize("manifest", blocks("yaml"))
def test_the_manifests_for_kubernetes(manifest: str) -> None:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load(manifest)
    assert len(manifest.splitlines()) <= 10
    spec = found["spec"]
    if found["kind"] == "RayJob":
        words = shlex.split(spec["entrypoint"])
        (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
        pods = [spec["rayClusterSpec"]["headGroupSpec"]["template"], group["template"]]
    else:
        replicas = spec["pytorchReplicaSpecs"]
        pods = [replicas[name]["template"] for name in ("Master", "Worker")]
        words = pods[0]["spec"]["containers"][0]["command"]
    parse(words[words.index("exeunt") + 1 :])
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["volumeMounts"][0]["name"] == pod["spec"]["volumes"][0]["name"]
