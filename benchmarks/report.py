"""One way to keep figures: a table for people and JSON for programs, side by side."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True)
class Figure:
    """What was measured: median, smallest and largest of `runs`, and a ratio to a limit."""

    name: str
    median: float
    low: float
    high: float
    unit: str
    runs: int
    ratio: float | None = None
    ratio_to: str = ""


def timed(work: Callable[[], object], runs: int, clock: Callable[[], float]) -> list[float]:
    """Milliseconds of each of `runs` calls by `clock`, after one that is not counted."""
    work()
    taken = []
    for _ in range(runs):
        start = clock()
        work()
        taken.append(1_000 * (clock() - start))
    return taken


def figure(name: str, unit: str, values: Sequence[float]) -> Figure:
    """The figure of these measured values."""
    return Figure(name, statistics.median(values), min(values), max(values), unit, len(values))


def against(one: Figure, limit: Figure, times: float = 1.0) -> Figure:
    """The same figure with its ratio to `times` the limit."""
    label = limit.name if times == 1.0 else f"{times:g} x {limit.name}"
    return Figure(
        **{**asdict(one), "ratio": one.median / (times * limit.median), "ratio_to": label}
    )


def publish(
    name: str,
    title: str,
    figures: Sequence[Figure],
    summary: Mapping[str, object] | None = None,
) -> None:
    """Writes docs/benchmarks/NAME.md and .json, and prints both; the JSON is the last line.

    `summary` stands in the JSON beside the figures, and the picture NAME.svg, if there is one,
    below the table.
    """
    machine = f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"
    lines = [
        f"# {title}",
        "",
        f"{machine}, {time.strftime('%Y-%m-%d')}. Medians; ratios are of the same run.",
        "",
        "| | median | lowest to highest | runs | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in figures:
        ratio = f"{one.ratio:.2f} of {one.ratio_to}" if one.ratio is not None else ""
        lines.append(
            f"| {one.name} | {one.median:.4g} {one.unit} | {one.low:.4g} to {one.high:.4g} "
            f"| {one.runs} | {ratio} |"
        )
    if (FOLDER / f"{name}.svg").exists():
        lines += ["", f"![The same as a picture]({name}.svg)"]
    values = {"machine": machine, "figures": [asdict(one) for one in figures]}
    line = json.dumps({**(summary or {}), **values})
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.md").write_text("\n".join(lines) + "\n")
    (FOLDER / f"{name}.json").write_text(line + "\n")
    sys.stdout.write("\n".join([*lines, line]) + "\n")


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()
