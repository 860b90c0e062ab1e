"""Builds the documentation as a site: `make docs`.

    python docs/make_site.py [--out build/site]

Pages are those of this folder. A link that leaves it leads to a copy of what it names. The command
line is described by its own help, Python by its docstrings. The build stops at a link that leads
nowhere, a public name without a docstring, and a page that would load anything from elsewhere.
Every version has a folder, and the root leads to the newest.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

import typer

import exeunt

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "docs"
# with places of their own
FRAME = ("index.md", "concepts.md", "glossary.md", "overview.md", "networks.md", "operators.md")
WHY = ("memory.md", "tiny.md", "rex.md", "reproduction.md")
# in the order of a reader; what is not named here comes last, under its own heading
GUIDES = {
    "data.md": "Your own images",
    "training.md": "Training",
    "adaptive.md": "When to stop",
    "recording.md": "Recordings",
    "microcontroller.md": "On a microcontroller",
    "cycles.md": "Cycles and milliseconds",
    "firmware.md": "Into firmware",
    "symptoms.md": "Symptoms and causes",
    "deployment.md": "ONNX and processors",
    "live.md": "In a browser",
    "scale.md": "Millions of images",
    "extending.md": "Parts of your own",
}
GROUPS = {  # of the page about Python; what is in none comes last
    "The road": "load train verify Classifier Answer LabelledImages",
    "Networks": "create_model list_models load_weights attach_exits MultiExitNet Stage ExitHead "
    "ReX2d",
    "Leaving early": "infer Prediction Policy parse_policy Confidence Margin Entropy Consistency "
    "Every Full",
    "Recordings": "record record_to ExitTable load_table save_table replay sweep exit_rows",
    "Millions of images": "Scorer score_images Scored",
}
LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?(\))")
ELSEWHERE = re.compile(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(?:https?:)?//[^\"> ]+")
LOADED = ("stylesheet", "preload", "icon", "<script", "<img", "<iframe", "modulepreload")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    out = parser.parse_args().out
    version = metadata.version("exeunt")
    bare = list(undocumented())
    if bare:
        sys.exit("public names without a docstring: " + ", ".join(bare))
    shutil.rmtree(BUILD, ignore_errors=True)
    gather(BUILD)
    build(BUILD, out / version)
    reached = list(loaded_from_elsewhere(out / version))
    if reached:
        sys.exit("pages that load from elsewhere: " + "; ".join(reached))
    publish(out, version)
    pages = sum(1 for _ in (out / version).rglob("*.html"))
    print(f"{pages} pages; to read them: python -m http.server --directory {out}")


def undocumented() -> Iterator[str]:
    """Public names, and public methods of public classes, that say nothing of themselves."""
    for name in exeunt.__all__:
        value = getattr(exeunt, name)
        if name.startswith("__"):
            continue
        if not inspect.getdoc(value):
            yield name
        own = inspect.isclass(value) and value.__module__.startswith("exeunt")
        for key, member in vars(value).items() if own else ():
            method = callable(getattr(member, "__func__", member)) and not key.startswith("_")
            if method and not inspect.getdoc(getattr(value, key)):
                yield f"{name}.{key}"


def gather(to: Path) -> None:
    """All pages, and what they show."""
    made = shutil.ignore_patterns("*.py", "site", "__pycache__")
    shutil.copytree(HERE, to, ignore=made)
    (to / "reference").mkdir()
    shutil.copy(HERE / "site" / "formats.md", to / "reference")
    shutil.copy(HERE / "site" / "wide.css", to)
    (to / "reference" / "cli.md").write_text(command_line(), encoding="utf-8")
    (to / "reference" / "python.md").write_text(python(), encoding="utf-8")
    for page in sorted(to.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(LINK.sub(lambda link: _inside(link, to), text), encoding="utf-8")


def _inside(link: re.Match[str], to: Path) -> str:
    """A link that leads out of the pages, to a copy among them instead."""
    before, target, place, after = link.groups()
    path = (HERE / target).resolve()
    if path.is_relative_to(HERE) or not path.exists():  # what is not there is found by the build
        return link.group()
    inside = path.relative_to(ROOT)
    if path.is_dir():
        page = Path("files") / inside.with_suffix(".md")
        text = "".join(_shown(file) for file in sorted(path.rglob("*")) if file.is_file())
        text = f"# {inside}\n\n{text}"
    elif path.suffix == ".md":
        page, text = Path("files") / inside, path.read_text(encoding="utf-8")
    else:
        page, text = Path("files") / f"{inside}.md", f"# {inside}\n\n{_shown(path)}"
    (to / page).parent.mkdir(parents=True, exist_ok=True)
    (to / page).write_text(text, encoding="utf-8")
    return f"{before}{page.as_posix()}{place or ''}{after}"


def _shown(file: Path) -> str:
    """A file as a block of code; nothing of what is no text, or made by a run."""
    if file.suffix not in (".py", ".c", ".h", ".toml", ".ipynb", "") or "__pycache__" in file.parts:
        return ""
    kind = {"": "make", ".ipynb": "json"}.get(file.suffix, file.suffix[1:])
    return f"`{file.name}`\n\n````{kind}\n{file.read_text(encoding='utf-8').rstrip()}\n````\n\n"


def command_line() -> str:
    """What every command says of itself, by typer."""
    (program,) = metadata.entry_points(group="console_scripts", name="exeunt")
    asked = [sys.executable, "-m", "typer", program.module, "utils", "docs", "--name", "exeunt"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    text = done.stdout.replace("# `exeunt`", "# Command line", 1)
    app = import_module(program.module).app
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        says = command.get_short_help_str(limit=1000)  # where typer's list breaks off
        line = f"* [`{name}`](#exeunt-{name}): {says}"
        text = re.sub(rf"^\* `{name}`: .*$", lambda _, line=line: line, text, flags=re.MULTILINE)
    return text


def python() -> str:
    """A page of all public names; their docstrings come in when it is built."""
    grouped = {title: names.split() for title, names in GROUPS.items()}
    known = {name for names in grouped.values() for name in names}
    public = [name for name in exeunt.__all__ if not name.startswith("__")]
    grouped["Everything else"] = [name for name in public if name not in known]
    lines = ["# Python", "", "What `import exeunt` has, in the order in which it is met."]
    for title, names in grouped.items():
        lines += ["", f"## {title}", ""]
        lines += [f"::: exeunt.{name}\n" for name in names]
    return "\n".join(lines)


def build(source: Path, target: Path) -> None:
    """Runs the generator, which stops at links that lead nowhere."""
    text = (HERE / "site" / "zensical.toml").read_text(encoding="utf-8")
    made = source.parent / "made"  # the generator takes no absolute paths
    for name, value in (
        *(("source", source.name), ("target", made.name)),
        *(("package", (ROOT / "src").as_posix()), ("guides", guides())),
    ):
        text = text.replace("{" + name + "}", value)
    config = source.parent / "zensical.toml"
    config.write_text(text, encoding="utf-8")
    asked = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(config)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    made.replace(target)


def guides() -> str:
    """The guides, as the generator's settings have them."""
    placed = {*FRAME, *WHY, *GUIDES}
    named = [f"{{{json.dumps(title)} = {json.dumps(page)}}}" for page, title in GUIDES.items()]
    others = [page.name for page in sorted(HERE.glob("*.md")) if page.name not in placed]
    return f"[{', '.join([*named, *map(json.dumps, others)])}]"


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """What a reader's browser would ask other machines for."""
    for page in sorted(site.rglob("*.html")):
        for tag in ELSEWHERE.findall(page.read_text(encoding="utf-8")):
            if any(word in tag for word in LOADED):
                yield f"{page.relative_to(site)}: {tag}"


def publish(out: Path, version: str) -> None:
    """A list of the versions that there are, and a root that leads to this one."""
    found = sorted(path.parent.name for path in out.glob("*/index.html"))
    listed = [{"version": name, "title": name, "aliases": []} for name in found]
    (out / "versions.json").write_text(json.dumps(listed), encoding="utf-8")
    (out / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>exeunt</title>'
        f'<meta http-equiv="refresh" content="0; url={version}/index.html">'
        f'<a href="{version}/index.html">exeunt {version}</a>',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
