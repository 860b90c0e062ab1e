"""What `exeunt profile` found, as tables and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from exeunt.cli.render import show_facts, show_table
from exeunt.files import write_csv
from exeunt.profile import Memory, Profile, spell_bytes
from exeunt.text import figure, millions, percent

LARGEST = 10  # operators that are shown


def show_profile(profile: Profile) -> None:
    """Prints everything but the timelines."""
    counts, (height, width) = profile.counts, profile.image_size
    macs = f"{counts.total:,} ({millions(2 * counts.total)} FLOPs, two to a multiply-add)"
    facts = [
        ("model", profile.model),
        ("image", f"{height} x {width} pixels"),
        ("parameters", millions(profile.exit_parameters[-1])),
        ("MACs", macs),
    ]
    if counts.per_patch_exits[-1] != counts.total:
        facts.append(("", f"{millions(counts.per_patch_exits[-1])} if ReX went patch by patch"))
    if counts.single_exit != counts.total:
        facts.append(("", f"{counts.single_exit:,} without the exits before the last"))
    show_facts(facts)
    _show_exits(profile)
    _show_mean(profile)
    _show_memory(profile)
    _show_largest(profile)
    typer.echo()


def _show_exits(profile: Profile) -> None:
    dtypes = [memory.dtype for memory in profile.memories]
    shown = [memory for memory in profile.memories if memory.dtype == dtypes[0]]
    typer.echo(f"\nup to each exit, all before it included; peak memory in {dtypes[0]}")
    engines = [latency.engine for latency in profile.latencies]
    titles = ["exit", "parameters", "MACs", "of full"]
    titles += [f"ms, {engine}" for engine in engines]
    titles += [memory.convention for memory in shown]
    rows = []
    for k, macs in enumerate(profile.counts.exits):
        row = [str(k + 1), millions(profile.exit_parameters[k]), millions(macs)]
        row.append(percent(macs / profile.counts.total))
        for one in profile.latencies:
            low, high = figure(one.low_ms[k]), figure(one.high_ms[k])
            row.append(f"{figure(one.median_ms[k])} ({low}-{high})")
        row += [spell_bytes(memory.exit_bytes[k]) for memory in shown]
        rows.append(row)
    show_table(titles, rows, "r" * len(titles))
    for one in profile.latencies:
        threads = f"{one.threads} thread{'s' if one.threads > 1 else ''}"
        typer.echo(
            f"ms, {one.engine}: median of {one.runs} runs and the middle half of them, batch 1, "
            f"{one.device} ({one.processor}), {threads}"
        )


def _show_mean(profile: Profile) -> None:
    if profile.shares is None or profile.mean_macs is None:
        return
    shares = profile.shares
    facts = [
        ("exit shares", " ".join(percent(share) for share in shares.shares)),
        ("mean MACs", millions(profile.mean_macs)),
    ]
    for one in profile.latencies:
        facts.append((f"mean ms, {one.engine}", figure(one.mean_ms(shares.shares))))
    typer.echo(f"\nover {shares.samples} images that leave by {shares.policy}")
    show_facts(facts)


def _show_memory(profile: Profile) -> None:
    device = min(profile.memories, key=_rank)
    marked = "; * a microcontroller needs" if device.convention == "streamed" else ""
    typer.echo(f"\npeak memory of one image, by convention (docs/memory.md){marked}")
    rows = [
        [
            memory.convention + (" *" if marked and memory is device else ""),
            memory.dtype,
            spell_bytes(memory.total_bytes),
            f"{memory.total_bytes:,}",
            "-" if memory.bound_bytes is None else f"{memory.bound_bytes:,}",
            _remark(memory),
        ]
        for memory in sorted(profile.memories, key=lambda memory: memory is not device)
    ]
    show_table(["convention", "dtype", "total", "bytes", "bound", "note"], rows, "llrrrl")
    typer.echo("\nwho holds it")
    first = {memory.convention: memory for memory in reversed(profile.memories)}
    show_facts([(name, str(memory.peak)) for name, memory in reversed(first.items())])


def _rank(memory: Memory) -> tuple[bool, bool]:
    """How far a figure is from what a microcontroller needs: int8, row by row."""
    return memory.convention != "streamed", memory.dtype != "int8"


def _remark(memory: Memory) -> str:
    if memory.macs is not None:
        remark = f"costs {millions(memory.macs)} MACs"
        if memory.recompute_free_bytes is not None:
            remark += f"; {spell_bytes(memory.recompute_free_bytes)} with nothing computed twice"
        return remark
    if memory.row_window_bytes is not None:
        rows = f"{spell_bytes(memory.row_window_bytes)} rows of the image"
        return f"{rows}; least for this order" if memory.is_least else rows
    if memory.without_image_bytes is not None:
        return f"{spell_bytes(memory.without_image_bytes)} without the image"
    return ""


def _show_largest(profile: Profile) -> None:
    typer.echo("\nwhat costs most")
    rows = [
        (
            operator.module,
            operator.kind,
            " x ".join(map(str, operator.shape)),
            millions(operator.macs),
            percent(operator.macs / profile.counts.total),
        )
        for operator in profile.counts.largest[:LARGEST]
    ]
    show_table(("module", "operator", "gives", "MACs", "of all"), rows, "lllrr")


def show_comparison(one: Profile, other: Profile) -> None:
    """Prints two networks side by side."""
    rows = [
        ["parameters", *map(millions, (one.exit_parameters[-1], other.exit_parameters[-1]))],
        ["MACs", *map(millions, (one.counts.total, other.counts.total))],
    ]
    pairs: list[tuple[float, float]] = [
        (one.exit_parameters[-1], other.exit_parameters[-1]),
        (one.counts.total, other.counts.total),
    ]
    for mine in one.memories:
        theirs = other.memory(mine.convention, mine.dtype)
        sizes = mine.total_bytes, theirs.total_bytes
        rows.append([f"{mine.convention} {mine.dtype}", *map(spell_bytes, sizes)])
        pairs.append(sizes)
    for fast, slow in zip(one.latencies, other.latencies, strict=False):
        times = fast.median_ms[-1], slow.median_ms[-1]
        rows.append([f"ms, {fast.engine}", *map(figure, times)])
        pairs.append(times)
    for row, (a, b) in zip(rows, pairs, strict=True):
        row.append(f"{b / a:.2f}")
    show_table(["", one.model, other.model, "ratio"], rows, "lrrr")


def title_of(profiles: Sequence[Profile], dtype: str) -> str:
    """A sentence on the memory that some networks take."""
    parts = []
    for one in profiles:
        sizes = [
            f"{spell_bytes(memory.total_bytes)} {memory.convention}"
            for memory in one.memories
            if memory.dtype == dtype and memory.bound_bytes is not None
        ]
        parts.append(f"{one.model} takes {' and '.join(sizes)}" if sizes else one.model)
    return "; ".join(parts)


def write_costs(path: Path, profiles: Sequence[Profile]) -> None:
    """Writes a row for each exit of each network.

    Raises:
        OSError: when the file cannot be written.
    """
    rows = [row for profile in profiles for row in _rows(profile)]
    columns = dict.fromkeys(key for row in rows for key in row)
    write_csv(path, [*columns], rows)


def _rows(profile: Profile) -> list[dict[str, Any]]:
    record = profile.to_dict()
    height, width = profile.image_size
    common = {"model": profile.model, "image_height": height, "image_width": width}
    rows = []
    for found in record["exits"]:
        row = common | {key: value for key, value in found.items() if not isinstance(value, dict)}
        for convention, sizes in found["peak_bytes"].items():
            row |= {f"{convention}_{dtype}_bytes": size for dtype, size in sizes.items()}
        row |= {f"{engine}_ms": ms for engine, ms in found["latency_ms"].items()}
        rows.append(row)
    return rows
