"""The public yardsticks of small devices: what networks take here, what others print, the goals.

    python benchmarks/tiny.py                       # renders docs/tiny.md and the README's table
    python benchmarks/tiny.py --measure [NAME ...]  # measures first: all, or what matches

Figures that were measured are kept in docs/tiny/measured.json, those of others, with their source,
in docs/tiny/others.csv. Rendering takes a second; measuring everything half an hour of one core.
It needs arm-none-eabi-gcc, qemu-system-arm and tflite-micro; `processors` needs onnxruntime, `neon`
aarch64-linux-gnu-gcc and qemu-aarch64. The names are those of networks, such as `resnet8@32`,
`dial:NAME`, `exits:NAME`, `devices:NAME`, `cells:NAME`, `neon:NAME`, `zoo:NAME` and `processors`;
patterns may stand for them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tiny_goals import goals
from tiny_page import page, readme

from exeunt.files import replacing

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "docs" / "tiny" / "measured.json"


def measured() -> dict[str, Any]:
    """All figures that are kept."""
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measures if asked to, writes the page and the README's table, and prints the goals."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--measure", nargs="*", metavar="NAME")
    asked = parser.parse_args(arguments).measure
    if asked is not None:
        from tiny_measure import measure

        kept = measured() if MEASURED.exists() else {}
        for name, figures in measure(asked, kept):
            print(f"measured {name}", flush=True)
            _write(MEASURED, json.dumps(figures, indent=1) + "\n")
    figures = measured()
    _write(ROOT / "docs" / "tiny.md", page(figures))
    file = ROOT / "README.md"
    _write(file, readme(file.read_text(encoding="utf-8"), figures))
    for goal in goals(figures):
        print(goal.line)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
