"""What was aimed at, and by how much each is met or missed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiny_others import Printed, printed

Figures = Mapping[str, Any]

OVER = 0.02  # of the bound
NAMED = (
    "mobilenetv1_025(exits=last)",
    "resnet8(exits=last)",
    "mobilenetv2_035(exits=last, num_classes=2)",
    "densenet121",
    "msdnet_imagenet",
)
MSF = {
    "mobilenetv2_035": "mobilenetv2_035_chain@144",
    "mcunetv2_vww_5fps": "mcunetv2_vww_5fps@80",
    "mcunet_320kb": "mcunet_320kb@176",
}
PER_MAC = {
    "mobilenetv1_025@96": 1.45,
    "resnet8@32": 1.35,
    "mobilenetv2_035@144": 1.5,
    "rex_mobilenetv2_075.imagenette@112": 1.45,
}
DEVICES = ("cortex-m0", "cortex-m33", "cortex-m55", "riscv32")
CELLS = ("gru", "mingru", "fastgrnn", "lstm", "rnn")
ON_AARCH64 = ("mobilenetv2", "rex_mobilenetv2_paper", "rex_mobilenetv2_mingru")
ON_PROCESSORS = ("mobilenetv2", "rex_mobilenetv2_paper")
OF_ONNXRUNTIME = 3
FIRST_BLOCK = "resnet8(exits=[0])"
WITHOUT_EXIT = 11_296  # bytes that it took without that exit when this was aimed at
HANDED_ON = 16 * 32 * 32  # of that map
LAST_ROW = 5 * 448 + 4 * 448 + 5 * 112  # of MobileNetV2 x0.35's last map, sums, what it is made of
OUT_OF_REACH = {
    "mobilenetv2_035": f"a row of its last map, sums over those before and the row that it is made "
    f"of are {LAST_ROW:,} bytes in any plan of rows"
}


@dataclass(frozen=True)
class Goal:
    """One of them.

    Attributes:
        area: RAM, instructions, devices, cells, NEON or processors.
        what: was aimed at.
        found: what was measured; None where there is nothing.
        most: that it may be.
        unit: of both: `%`, bytes, or nothing.
        proved: nothing smaller can be: met, whatever the number.
        why: it is missed, if that is known.
    """

    area: str
    what: str
    found: float | None
    most: float
    unit: str = ""
    proved: bool = False
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.proved or (self.found is not None and self.found <= self.most)

    @property
    def verdict(self) -> str:
        """*met*, or by how much it is not."""
        if self.found is None:
            return "missed: not here"
        if self.proved and self.found > self.most:
            return "met: nothing smaller for its order of rows"
        if self.met:
            return "met"
        by, why = self.found - self.most, f": {self.why}" if self.why else ""
        if self.unit == "%":
            return f"missed by {by:.2f} points{why}"
        return f"missed by {by / self.most:.1%}{why}"

    @property
    def line(self) -> str:
        """For people."""
        return (
            f"{self.area}: {self.what}: {self.numbers[0]}, goal {self.numbers[1]}: {self.verdict}"
        )

    @property
    def numbers(self) -> tuple[str, str]:
        """What was found and what was aimed at, with units."""
        found = "nothing" if self.found is None else spell(self.found, self.unit)
        return found, "any" if math.isinf(self.most) else f"at most {spell(self.most, self.unit)}"


def spell(value: float, unit: str) -> str:
    """A number with its unit."""
    if unit == "bytes":
        return f"{value:,.0f} bytes"
    return f"{value:.2f} %" if unit == "%" else f"{value:.2f}"


def goals(figures: Figures) -> list[Goal]:
    """All of them."""
    return [
        *_placed(figures["zoo"]),
        *_dialled(figures["dial"]),
        *_exits(figures["exits"]),
        *_instructions(figures["networks"]),
        *_devices(figures.get("devices", {})),
        *_cells(figures.get("cells", {})),
        *_neon(figures.get("neon", {})),
        *_processors(figures.get("processors", {})),
    ]


def _placed(zoo: Figures) -> Iterator[Goal]:
    """Arenas over the most that is needed at one moment."""
    over = {key: 100 * (plan["arena_bytes"] / plan["bound_bytes"] - 1) for key, plan in zoo.items()}
    least = {key: plan["arena_bytes"] == plan["least_bytes"] for key, plan in zoo.items()}
    for key in NAMED:
        what = f"arena of {key} over its bound"
        yield Goal("RAM", what, over[key], 100 * OVER, "%", least[key])
    worst = max(over, key=lambda key: 0 if least[key] else over[key])
    what = f"arenas of the {len(zoo)} networks measured over their bounds, the worst of {worst}"
    yield Goal("RAM", what, over[worst], 100 * OVER, "%", least[worst])


def smallest(points: Sequence[Sequence[Any]], factor: float) -> float | None:
    """Bytes of the smallest plan of a dial at no more than a factor."""
    return min((point[0] for point in points if point[1] <= factor), default=None)


def msf_points(key: str) -> list[Printed]:
    """What msf-CNN prints for a network, but for the plan layer by layer."""
    return [one for one in printed("ram", key) if one.who == "msf-CNN"]


def _dialled(dial: Figures) -> Iterator[Goal]:
    """Bytes beside msf-CNN's at the same factors of multiply-adds."""
    for name, key in MSF.items():
        points = msf_points(key)
        for said, part in (("the image left out", "without_image"), ("its rows in", "with_image")):
            for one in points:
                found = smallest(dial[name][part], one.factor)
                what = f"{name}, {said}, at {one.factor:.2f} times the multiply-adds"
                yield Goal("RAM", what, found, one.value, "bytes")
        factor, half = max(one.factor for one in points), min(one.value for one in points) / 2
        found = smallest(dial[name]["without_image"], factor)
        what = f"{name}, half of msf-CNN's least, at no more than {factor:.2f} times"
        yield Goal("RAM", what, found, half, "bytes", why=OUT_OF_REACH.get(name, ""))


def _exits(exits: Figures) -> Iterator[Goal]:
    """The arena of a net whose first exit stands before a large map."""
    (points,) = (found["points"] for key, found in exits.items() if key == FIRST_BLOCK)
    for factor in (1, 1.5):
        what = f"{FIRST_BLOCK}, at no more than {factor:.2f} times the multiply-adds"
        why = f"the next stage reads {HANDED_ON:,} bytes, all made when the exit answers"
        why = why if factor == 1 else ""
        yield Goal("RAM", what, smallest(points, factor), WITHOUT_EXIT, "bytes", why=why)


def per_mac(network: Figures) -> float:
    """Instructions for each multiply-add, up to the last exit."""
    return float(network["instructions"][-1] / network["macs"][-1])


def _instructions(networks: Figures) -> Iterator[Goal]:
    for key, most in PER_MAC.items():
        what = f"{key} on a Cortex-M4, for each multiply-add"
        yield Goal("instructions", what, per_mac(networks[key]), most)


def _devices(devices: Figures) -> Iterator[Goal]:
    """A device counts by what the network for visual wake words takes on it; any number will do."""
    for device in DEVICES:
        found = per_mac(devices[device]) if device in devices else None
        what = f"mobilenetv1_025@96 on {device}, bit for bit, for each multiply-add"
        yield Goal("devices", what, found, math.inf)


def _cells(cells: Figures) -> Iterator[Goal]:
    """Each cell runs on the device; any number will do."""
    for cell in CELLS:
        found = per_mac(cells[cell]) if cell in cells else None
        what = f"rex_mobilenetv2_050@112 of {cell} on a Cortex-M4, bit for bit, for each"
        yield Goal("cells", f"{what} multiply-add", found, math.inf)


def _neon(neon: Figures) -> Iterator[Goal]:
    """Instructions stand for time, since no aarch64 was at hand; any number will do."""
    for net in ON_AARCH64:
        found = neon[net]["NEON"] / neon[net]["macs"] if net in neon else None
        what = f"{net}@112 in int8 on aarch64, bit for bit, for each multiply-add"
        yield Goal("NEON", what, found, math.inf)


def _processors(processors: Figures) -> Iterator[Goal]:
    found = processors.get("of onnxruntime", {})
    for net in ON_PROCESSORS:
        what = f"{net} in int8, generated C's time over onnxruntime's"
        yield Goal("processors", what, found.get(net), OF_ONNXRUNTIME)
