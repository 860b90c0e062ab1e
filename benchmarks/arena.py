"""How near the arena of every network comes to the least that its order of rows needs.

    python benchmarks/arena.py [PATTERN ...]

A line for each distinct network of `exeunt list` as int8: bytes of the streamed plan, the most that
is needed at one moment of its order, which no arena can be smaller than, and by how much it is
above that. Networks that MLPerf Tiny has come with their last exit alone, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from exeunt.graph import StreamedPlan, build_graph, plan_stream
from exeunt.models import create_model, default_image_size, list_models

SAME = ("mobilenetv2_100", "rex_mobilenetv2_100", "msdnet", "msdnet_cifar100", "ranet")
SAME += ("ranet_cifar100", "resnet_cifar", "wideresnet_cifar", "densenetbc_cifar")
TINY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("mobilenetv1_025", {"exits": "last"}),
    ("resnet8", {"exits": "last"}),
    ("resnet8", {"exits": [0]}),
    ("mobilenetv2_035", {"exits": "last", "num_classes": 2}),
)


def networks() -> Iterator[tuple[str, dict[str, Any], int]]:
    """Name, arguments and image size of each."""
    for name, arguments in TINY:
        yield name, arguments, 144 if name == "mobilenetv2_035" else default_image_size(name)
    for name in list_models():
        if name not in SAME:
            yield name, {}, default_image_size(name)


def planned(name: str, arguments: dict[str, Any], size: int) -> tuple[StreamedPlan, float]:
    """The plan of one, and the seconds that it took."""
    graph = build_graph(create_model(name, **arguments), size)
    start = time.perf_counter()
    return plan_stream(graph, 1), time.perf_counter() - start


def spelled(name: str, arguments: dict[str, Any]) -> str:
    """Name and arguments."""
    said = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return name + (f"({said})" if said else "")


def main(patterns: list[str]) -> None:
    """Prints the table."""
    print(f"{'network':44} {'pixels':>6} {'arena':>9} {'bound':>9} {'over':>7} {'seconds':>7}")
    for name, arguments, size in networks():
        if patterns and not any(fnmatch(name, pattern) for pattern in patterns):
            continue
        plan, seconds = planned(name, arguments, size)
        over = plan.arena_bytes / plan.bound_bytes - 1
        print(
            f"{spelled(name, arguments):44} {size:6} {plan.arena_bytes:9,} "
            f"{plan.bound_bytes:9,} {over:7.2%} {seconds:7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
