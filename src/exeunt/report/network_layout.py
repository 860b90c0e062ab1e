"""Where the parts of a network's drawing stand. Pixels alone, no ink.

From left to right the order of execution: one column per step of depth, a block right of all that
it reads, a stage right of the stage before it and an exit at its end. From top to bottom the size
of maps: one lane for each, the finest on top. A block that makes maps of several sizes has a box in
each of their lanes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from exeunt.report.network_trace import IMAGE, NetworkTrace, Source

MOST_WIDTH, LEAST_WIDTH = 900.0, 480.0
MARGIN = 14.0
GUTTER = 72.0  # for the names of the lanes
IMAGE_SIDE, IMAGE_GAP = 18.0, 9.0

# Before everything is scaled to fit
BOX_WIDTHS = (8.0, 30.0)  # of a block without multiply-adds and of the one with most
GAP, EXIT_GAP = 8.0, 13.0
MOST_STRETCH = 1.7

BOX_HEIGHTS = (8.0, 30.0)  # of the fewest and of the most channels
STACK_GAP = 3.0
LANE_PADDING = 12.0
FLAG_PITCH = 35.0  # between neighbours in a row
FLAG_DROP, FLAG_HEIGHT = 16.0, 32.0
NEAR, ENOUGH_ROWS = 16.0, 3  # how far a flag may hang from its exit, unless there are enough rows


@dataclass(frozen=True)
class Box:
    """One map: x and y of its top left corner, its width and its height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True)
class Lane:
    """A size of maps, and the strip in which they stand."""

    size: tuple[int, int]
    top: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Flag:
    """An exit: the x where its stage ends, and the middle of its label's upper edge."""

    x: float
    label_x: float
    label_y: float


@dataclass(frozen=True)
class Layout:
    """The body of a drawing; y counts from the first lane's top.

    Attributes:
        boxes: of every map that the trace knows.
        lanes: finest first.
        flags: of every exit.
        width: of the whole drawing.
        height: from the first lane's top to the lowest flag's bottom.
    """

    boxes: dict[Source, Box]
    lanes: tuple[Lane, ...]
    flags: tuple[Flag, ...]
    width: float
    height: float

    def lane_of(self, box: Box) -> Lane:
        """The lane in which a box stands."""
        return next(lane for lane in self.lanes if lane.top <= box.middle <= lane.bottom)


def layout_of(trace: NetworkTrace) -> Layout:
    """Places the boxes and flags of a network in at most `MOST_WIDTH` pixels."""
    sources = [
        *(Source(IMAGE, i) for i in range(len(trace.images))),
        *(Source(b, i) for b, block in enumerate(trace.blocks) for i in range(len(block.maps))),
    ]
    columns, ends = _columns(trace)
    cells: dict[tuple[int, tuple[int, int]], list[Source]] = defaultdict(list)
    for source in sources:
        cells[columns[source.block], trace.map_of(source)[1:]].append(source)
    heights = _heights(trace, sources)
    tall = {key: _stacked([heights[source] for source in cell]) for key, cell in cells.items()}
    lanes = _lanes(tall)
    middles = {lane.size: lane.middle for lane in lanes}
    widths = {b: _box_width(trace, b) for b in range(len(trace.blocks))}
    starts, wide, exits, scale = _across(widths, columns, ends)

    boxes = {}
    for (column, size), cell in cells.items():
        y = middles[size] - tall[column, size] / 2
        for source in cell:
            across = IMAGE_SIDE if source.block == IMAGE else widths[source.block] * scale
            x = starts[column] + (wide[column] - across) / 2
            boxes[source] = Box(x, y, across, heights[source])
            y += heights[source] + STACK_GAP
    width = max(exits[-1] + 2 * MARGIN, LEAST_WIDTH)
    flags, height = _flags(exits, width, lanes[-1].bottom + FLAG_DROP)
    return Layout(boxes, lanes, flags, width, height)


def _columns(trace: NetworkTrace) -> tuple[dict[int, int], list[int]]:
    """The column of the image and of every block, and how many there are when each stage ends."""
    columns = {IMAGE: 0}
    ends: list[int] = []
    first = 1
    for k in range(len(trace.exits)):
        end = first
        for b, block in enumerate(trace.blocks):
            if block.stage == k:
                columns[b] = max([first, *(columns[read.block] + 1 for read in block.reads)])
                end = max(end, columns[b] + 1)
        ends.append(end)
        first = end
    return columns, ends


def _heights(trace: NetworkTrace, sources: Sequence[Source]) -> dict[Source, float]:
    """Of the boxes: by the logarithm of their channels."""
    channels = {s: trace.map_of(s).channels for s in sources if s.block != IMAGE}
    least, most = min(channels.values(), default=1), max(channels.values(), default=1)
    low, high = BOX_HEIGHTS

    def height(source: Source) -> float:
        if source.block == IMAGE:
            return IMAGE_SIDE
        if least == most:
            return (low + high) / 2
        return low + (high - low) * math.log(channels[source] / least) / math.log(most / least)

    return {source: height(source) for source in sources}


def _stacked(heights: Sequence[float]) -> float:
    return sum(heights) + STACK_GAP * (len(heights) - 1)


def _lanes(tall: dict[tuple[int, tuple[int, int]], float]) -> tuple[Lane, ...]:
    top, lanes = 0.0, []
    for size in sorted({size for _, size in tall}, key=lambda size: (-size[0] * size[1], size)):
        bottom = top + max(h for (_, at), h in tall.items() if at == size) + 2 * LANE_PADDING
        lanes.append(Lane(size, top, bottom))
        top = bottom
    return tuple(lanes)


def _box_width(trace: NetworkTrace, block: int) -> float:
    """By the square root of its multiply-adds."""
    low, high = BOX_WIDTHS
    most = max(other.macs for other in trace.blocks)
    return low + (high - low) * math.sqrt(trace.blocks[block].macs / most) if most else low


def _across(
    widths: dict[int, float], columns: dict[int, int], ends: Sequence[int]
) -> tuple[list[float], list[float], list[float], float]:
    """Left edges and widths of the columns, where the exits are, and how boxes are scaled."""
    wide = [0.0] * max(ends)
    for block, width in widths.items():
        wide[columns[block]] = max(wide[columns[block]], width)
    exits_behind = [ends.count(column + 1) for column in range(len(wide))]
    gaps = [EXIT_GAP * (exits + 1) if exits else GAP for exits in exits_behind]
    fixed = MARGIN + GUTTER + IMAGE_SIDE + IMAGE_GAP + 2 * MARGIN
    scaled = sum(wide) + sum(gaps[1:]) - EXIT_GAP
    scale = min(MOST_STRETCH, (MOST_WIDTH - fixed) / scaled)
    wide = [IMAGE_SIDE, *(width * scale for width in wide[1:])]
    starts, exits = [], []
    x = MARGIN + GUTTER
    for width, ended, gap in zip(wide, exits_behind, gaps, strict=True):
        starts.append(x)
        x += width
        exits += [x + EXIT_GAP * scale * (i + 1) for i in range(ended)]
        x += gap * scale if starts[1:] else IMAGE_GAP + EXIT_GAP * scale * ended
    return starts, wide, exits, scale


def _flags(exits: Sequence[float], width: float, top: float) -> tuple[tuple[Flag, ...], float]:
    """In as few rows as let each hang near the end of its stage; and where the last row ends."""
    edge = MARGIN / 2 + FLAG_PITCH / 2
    for rows in count(1):
        pitch = FLAG_PITCH / rows
        fits = (len(exits) - 1) * pitch <= width - 2 * edge
        labels = _spread(exits, pitch, edge, width - edge) if fits else []
        farthest = max((abs(x - at) for x, at in zip(exits, labels, strict=False)), default=0.0)
        if fits and (farthest <= NEAR or rows >= ENOUGH_ROWS):
            break
    flags = [
        Flag(x, label, top + k % rows * FLAG_HEIGHT)
        for k, (x, label) in enumerate(zip(exits, labels, strict=True))
    ]
    return tuple(flags), top + rows * FLAG_HEIGHT


def _spread(wanted: Sequence[float], pitch: float, least: float, most: float) -> list[float]:
    """Ascending positions, moved as little as keeps neighbours `pitch` apart and all within bounds.

    There must be room for them.
    """
    clusters: list[tuple[float, int]] = []  # where the first wants to be, and how many there are
    for position in wanted:
        clusters.append((position, 1))
        while len(clusters) > 1 and clusters[-2][0] + clusters[-2][1] * pitch > clusters[-1][0]:
            (start, many), (behind, more) = clusters[-2:]
            mean = (start * many + (behind - many * pitch) * more) / (many + more)
            clusters[-2:] = [(mean, many + more)]
    free = [start + i * pitch for start, many in clusters for i in range(many)]
    last = len(free) - 1
    return [min(max(x, least + i * pitch), most - (last - i) * pitch) for i, x in enumerate(free)]
