"""Imports go downward only: cli, programs, parts, net, ops."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "exeunt"
LAYERS = (
    ("errors", "runner"),
    (
        *(
            "files",
            "output_file",
            "device",
            "mode",
            "documents",
            "progress",
            "text",
            "html",
            "page",
            "versions",
        ),
        *("finite", "registry", "own_code", "hub"),
    ),
    ("locks",),
    ("folders",),
    ("native",),
    ("ops",),
    ("net",),
    ("chain", "contract", "collaboration", "rex_stem"),
    ("backbone",),
    ("models", "policies", "data", "graph"),
    ("inference", "quantize", "compiled", "trained"),
    ("evaluate",),
    ("calibrate", "profile"),
    ("training", "report", "export"),
    ("cycles",),
    ("bench", "verification", "predictor"),
    ("classifier", "score"),
    ("api",),
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


def test_nothing_but_the_entry_point_imports_the_command_line() -> None:
    root = PACKAGE.parent.parent
    rooms = ("src", "benchmarks", "experiments", "docs", "examples")
    files = [path for room in rooms for path in (root / room).rglob("*.py")]
    assert len(files) > 300
    users = {
        str(path.relative_to(root))
        for path in files
        if "cli" in imports_of(path) and (PACKAGE / "cli") not in path.parents
    }
    assert users == {"src/exeunt/__main__.py"}


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


def says_no_encoding(call: ast.Call) -> bool:
    """Whether text would be in the encoding of whoever's machine it is."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in said:
        return False
    if name in ("read_text", "write_text"):
        return isinstance(call.func, ast.Attribute)
    if name == "open":
        modes = [*call.args, *([said["mode"]] if "mode" in said else [])]
        words = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
        return any(word in ("r", "w", "a", "x", "rt", "wt", "r+", "w+") for word in words)
    return name in ("run", "Popen", "check_output") and not {
        "text",
        "universal_newlines",
    }.isdisjoint(said)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='ascii')", False),
        ("read_text(path)", False),
        ("path.open('w', newline='')", True),
        ("path.open(mode='a')", True),
        ("path.open('wb')", False),
        ("open(path, 'r', encoding='utf-8')", False),
        ("subprocess.run(words, text=True)", True),
        ("subprocess.run(words)", False),
    ],
)
def test_what_says_no_encoding(text: str, expected: bool) -> None:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert says_no_encoding(call) == expected


def test_all_text_says_its_encoding() -> None:
    """So that `LC_ALL=C` changes nothing."""
    silent = [
        f"{path}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and says_no_encoding(node)
    ]
    assert not silent


def test_long_files_are_a_shape_to_mend() -> None:
    long = {
        str(p): n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long
