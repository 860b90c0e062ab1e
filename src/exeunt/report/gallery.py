"""The images that a report shows: which ones, and how small."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import torch
from PIL import Image, ImageOps

from exeunt.evaluate import ExitTable, Outcome

SIDE_PX = 112
QUALITY = 78  # of JPEG, 0 to 95


@dataclass(frozen=True)
class Thumbnail:
    """One sample to show.

    Attributes:
        row: Which one of the table.
        name: Its name there.
        jpeg: A small picture of it, as a JPEG file.
    """

    row: int
    name: str
    jpeg: bytes


def choose(outcome: Outcome, targets: torch.Tensor, count: int) -> list[int]:
    """Rows worth showing, at most `count` of them.

    They are taken in turn from every exit at which `outcome` let samples leave, right and wrong
    ones alternating, and within these from every class in turn: what is rare is shown more often
    than it occurs. Which of several alike is settled by a seeded shuffle. For regression the
    samples with an error below and above the median alternate.

    Args:
        outcome: Of the policy that is shown first.
        targets: Class indices or values (N).
        count: How many.
    """
    if outcome.accuracy is not None:
        good = outcome.logits.argmax(dim=1) == targets
        classes = targets.tolist()
    else:
        error = (outcome.logits[:, 0] - targets).abs()
        good = error <= error.median()
        classes = [0] * len(targets)
    generator = torch.Generator().manual_seed(0)
    cells: dict[tuple[int, bool], dict[int, list[int]]] = {}
    for row in torch.randperm(len(targets), generator=generator).tolist():
        cell = cells.setdefault((int(outcome.exit_index[row]), bool(good[row])), {})
        cell.setdefault(int(classes[row]), []).append(row)
    each = [_in_turn(cells[key].values()) for key in sorted(cells)]
    return list(islice(_in_turn(each), count))


def shrink(
    table: ExitTable, rows: Iterable[int], load: Callable[[str], Image.Image]
) -> list[Thumbnail]:
    """Small pictures of the centres of images.

    Args:
        table: Whose samples they are.
        rows: Which ones.
        load: Gives the image of a name: upright, of mode "RGB" or "L", any size.
    """
    return [Thumbnail(row, table.names[row], _jpeg(load(table.names[row]))) for row in rows]


def _jpeg(image: Image.Image) -> bytes:
    side = min(SIDE_PX, *image.size)
    small = ImageOps.fit(image, (side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def _in_turn(queues: Iterable[Iterable[int]]) -> Iterator[int]:
    """One of each, then the next of each, until all are empty."""
    rounds = chain.from_iterable(zip_longest(*queues))
    return (row for row in rounds if row is not None)
