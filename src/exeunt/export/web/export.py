"""From a trained network to a page that runs its C."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.data import MAX_UNREADABLE_FRACTION, Data
from exeunt.errors import ExeuntError
from exeunt.export.calibration import CalibrationImages, PolicyOptions
from exeunt.export.result import Export

if TYPE_CHECKING:
    from exeunt.page import PagePart
    from exeunt.trained import TrainedModel

SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class WebOptions:
    """How the page's network is wanted.

    Attributes:
        dtype: `int8` or `float32`.
        ranges: how int8 covers a tensor.
        budget_kib: what the arena may take; None for no limit.
    """

    dtype: str = "int8"
    ranges: str = "mse"
    budget_kib: float | None = None


def export_web(
    model: str,
    trained: TrainedModel,
    images: CalibrationImages | None,
    wanted: PolicyOptions,
    asked: WebOptions,
    out: Path,
) -> Export:
    """Writes one HTML file that makes no request; it is replaced as a whole.

    Raises:
        ExeuntError: when the network cannot be written in C, or nothing compiles to WebAssembly.
        WriteError: when the file cannot be written.
    """
    from exeunt.export.web.page_part import live_page
    from exeunt.files import replacing

    check_page(out)
    part, document = live_part(model, trained, images, wanted, asked)
    text = live_page(model, part)
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Export.of(out, document | {"page_bytes": len(text.encode())})


def live_part(
    model: str,
    trained: TrainedModel,
    images: CalibrationImages | None,
    wanted: PolicyOptions,
    asked: WebOptions,
) -> tuple[PagePart, dict[str, Any]]:
    """The network for a page, and the report of its C with the size of its program, `wasm_bytes`.

    Raises:
        ExeuntError: as `export_web`.
    """
    from exeunt.export.c.export import COptions, model_in_c
    from exeunt.export.web.page_part import page_part
    from exeunt.export.web.wasm import PREFIX, compiled, require_compiler

    require_compiler()
    as_c = COptions(asked.dtype, asked.ranges, PREFIX, asked.budget_kib)
    made = replace(model_in_c(model, trained, images, wanted, as_c, PREFIX), weights=None)
    report, program = compiled(made)
    return page_part(made, report, program), report | {"wasm_bytes": len(program)}


def part_for(
    model: str,
    trained: TrainedModel,
    data: Data,
    limit: int | None = None,
    batch_size: int = 8,
    workers: int = 0,
    allow_unreadable: float = MAX_UNREADABLE_FRACTION,
) -> PagePart:
    """The network in int8 for a page about labelled images, of which the calibration split serves.

    Raises:
        ExeuntError: as `export_web`.
    """
    from exeunt.export.web.wasm import require_compiler

    require_compiler()
    images = CalibrationImages(trained, data, limit, batch_size, workers, allow_unreadable)
    return live_part(model, trained, images, PolicyOptions(None, None, None), WebOptions())[0]


def check_page(out: Path) -> None:
    """Refuses a name that is no page's.

    Raises:
        ExeuntError: naming it.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ExeuntError(f"--out {out}: the page is HTML; give a name that ends in .html")
