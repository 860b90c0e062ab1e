"""Imports go downward only: cli, programs, parts, net, ops."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "exeunt"
LAYERS = (
    ("errors", "runner"),
    ("files", "device", "mode", "finite"),
    ("native",),
    ("ops",),
    ("net",),
    ("chain", "contract", "collaboration"),
    ("models", "policies", "data", "backbone", "graph"),
    ("inference", "quantize", "compiled"),
    ("evaluate",),
    ("calibrate", "profile"),
    ("train", "report", "export"),
    ("bench",),
    ("cli",),
    ("__main__", "__init__"),
)
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer}


def part_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE).parts
    return inside[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Parts of exeunt that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "exeunt" and len(parts) > 1:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_go_down(path: Path) -> None:
    here = part_of(path)
    assert here in HEIGHT, f"{here} has no layer; give it one in LAYERS"
    for part in imports_of(path) - {here}:
        if part in HEIGHT:  # the others are names, such as __version__
            assert HEIGHT[part] < HEIGHT[here], f"{path}: imports {part}, which is not below {here}"


def test_the_runner_stands_alone() -> None:
    for path in (PACKAGE / "runner").glob("*.py"):
        assert imports_of(path) <= {"runner"}


def test_no_import_cycles_between_files() -> None:
    def module(path: Path) -> str:
        name = ".".join(("exeunt", *path.relative_to(PACKAGE).with_suffix("").parts))
        return name.removesuffix(".__init__")

    modules = {module(path): path for path in PACKAGE.rglob("*.py") if part_of(path) != "__init__"}
    edges: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    for target in (f"{node.module}.{alias.name}", node.module):
                        if target in modules and target != name:
                            edges[name].add(target)
                            break
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' > '.join((*trail, name))}"
        if name not in done:
            for target in sorted(edges[name]):
                walk(target, (*trail, name))
            done.add(name)

    for name in modules:
        walk(name, ())


def test_long_files_are_a_shape_to_mend() -> None:
    long = {
        str(p): n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long
