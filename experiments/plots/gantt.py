# SPDX-License-Identifier: MIT
"""Who ran when: a row for each task, a colour for the worker it ran on, a panel for each backend.

    [[figure]]
    kind = "gantt"
    arms = ["asm", "mn"]        # optional

It draws one traced run of each arm, the first there is: traces/<block>.<arm>.json in the campaign,
in the Trace Event Format that `shunt run --trace` writes. Tasks that take turns in one colour are
concurrent, tasks that overlap in two colours are parallel. A trace is one run, not a statistic.

Of a long trace the beginning is drawn, as the caption then says; the CSV and the table are of all of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import _data
import _figure
import _style
from matplotlib.patches import Patch
from shuntlab.statistics.points import plain
from shuntlab.tools.files import read_json

MAX_ROWS = 40
MAX_SLICES = 4000       # drawn in a panel: more are a grey block and a file of many megabytes
TIME_MAX = 2.0 ** 62    # ns, as the C code reads them
# Neighbours differ in lightness too; with more workers than colours they come again.
_WORKERS = (_style.BLUE, _style.ORANGE, _style.BLACK, _style.SKY, _style.RED, _style.PURPLE,
            _style.GREEN)

KEYS = {}


@dataclass
class Slice:
    task: str
    worker: str
    start: float        # ns from the first event
    length: float


@dataclass
class Timeline:
    arm: str
    panel: str
    slices: list[Slice]
    end: float
    tasks: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)


def read_trace(file: Path) -> list[Slice]:
    """The slices of the tasks: complete events, or begin and end in pairs, of category task."""
    try:
        return slices_of(read_json(file))
    except OSError as e:
        raise _data.FigureError(f"{file}: {e.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as e:
        raise _data.FigureError(f"{file}: not a trace: {e!r}") from None


def slices_of(document: Any) -> list[Slice]:
    events = document.get("traceEvents", []) if isinstance(document, dict) else document
    threads = {(e.get("pid"), e.get("tid")): str(e.get("args", {}).get("name", ""))
               for e in events if e.get("ph") == "M" and e.get("name") == "thread_name"}
    found, open_at = [], {}
    for e in events:
        track = (e.get("pid"), e.get("tid"))
        worker = threads.get(track) or f"worker {e.get('tid')}"
        if not is_task(e):
            continue
        if e.get("ph") == "X":
            found.append(Slice(task_name(e), worker, 1e3 * float(e["ts"]),
                               1e3 * float(e.get("dur", 0))))
        elif e.get("ph") == "B":
            open_at[track] = e
        elif e.get("ph") == "E" and track in open_at:
            b = open_at.pop(track)
            found.append(Slice(task_name(b), worker, 1e3 * float(b["ts"]),
                               1e3 * (float(e["ts"]) - float(b["ts"]))))
    if not found:
        raise ValueError("no task ran in it")
    if not all(abs(s.start) < TIME_MAX and 0 <= s.length < TIME_MAX for s in found):
        raise ValueError("a time is out of range")
    first = min(s.start for s in found)
    return [Slice(s.task, s.worker, s.start - first, s.length) for s in found]


def is_task(event: dict[str, Any]) -> bool:
    return event.get("ph") in ("X", "B", "E") and event.get("cat", "task") in ("task", "run")


def task_name(event: dict[str, Any]) -> str:
    return str(event.get("name") or f"task {event.get('args', {}).get('task', '?')}")


def prepare(ctx: _data.Context) -> _figure.Drawing:
    lines: list[Timeline] = []
    for point in ctx.points():
        for arm in ctx.arms(point):
            file = next((f for b in sorted(point.runs[arm]) if
                         (f := trace_of(point.runs[arm][b])).is_file()), None)
            if file is None:
                continue
            panel = _data.panel_title(ctx, point, "arm", arm).removeprefix("arm ")
            if any(t.panel == panel for t in lines):
                raise _data.FigureError(f"{arm} was traced at two points; choose one with where")
            slices = read_trace(file)
            lines.append(Timeline(
                arm, panel, slices, max(s.start + s.length for s in slices),
                sorted({s.task for s in slices}, key=natural),
                sorted({s.worker for s in slices}, key=natural)))
    if not lines:
        raise _data.FigureError("no run of this campaign was traced: there is no "
                                "traces/<block>.<arm>.json")
    columns = ["panel", "task", "worker", "start_ns", "length_ns"]
    rows = [dict(zip(columns, (t.panel, s.task, s.worker, s.start, s.length)))
            for t in lines for s in t.slices]
    workers = sorted({w for t in lines for w in t.workers}, key=natural)
    ran = {t.panel: busy(t) for t in lines}
    end = drawn_until(lines)
    table = (["backend", "tasks", "workers", "runs", "wall [ms]", "largest overlap"],
             [[t.panel, str(len(t.tasks)), str(len(t.workers)), str(len(t.slices)),
               f"{t.end / 1e6:.1f}", str(ran[t.panel])] for t in lines])
    return _figure.Drawing(
        columns, rows, table,
        ["One traced run of each backend: a row for each task, a colour for the worker that ran it; a run "
         "shorter than the line is drawn as a tick", *left_out(lines, end)],
        workers, [], "Bars are runs of a task, not intervals: a trace is one run", 1,
        {"lines": [until(t, end) for t in lines]},
        looks={w: _style.Look(_WORKERS[i % len(_WORKERS)], "", "-")
               for i, w in enumerate(workers)},
        height=0.45 + sum(0.3 + 0.16 * min(rows_of(t), MAX_ROWS) for t in lines))


def drawn_until(lines: list[Timeline]) -> float:
    """Where the drawing ends, the same in every panel: no panel has more than MAX_SLICES before it."""
    starts = [sorted(s.start for s in t.slices) for t in lines]
    ends = [max(1.0, s[MAX_SLICES]) for s in starts if len(s) > MAX_SLICES]
    return min([max(t.end for t in lines), *ends])


def until(t: Timeline, end: float) -> Timeline:
    """The part before `end`."""
    slices = [replace(s, length=min(s.length, end - s.start)) for s in t.slices if s.start < end]
    return replace(t, slices=slices, end=min(t.end, end))


def left_out(lines: list[Timeline], end: float) -> list[str]:
    """The sentence on what is not drawn, if anything."""
    whole = max(t.end for t in lines)
    count = sum(s.start >= end for t in lines for s in t.slices)
    return [f"The first {plain(end / 1e6)} ms of {plain(whole / 1e6)} ms are drawn, without {count:,} later runs"
            ] if count else []


def natural(name: str) -> list[tuple[int, str]]:
    """Orders worker 2 before worker 10."""
    return [(int(part), "") if part.isdigit() else (-1, part)
            for part in re.split(r"(\d+)", name)]


def trace_of(record: dict[str, Any]) -> Path:
    folder = Path(record["lab"]["file"]).parent.parent
    return folder / "traces" / f"{record['block']}.{record['arm']}.json"


def rows_of(t: Timeline) -> int:
    return len(t.tasks) if len(t.tasks) <= MAX_ROWS else len(t.workers)


def busy(t: Timeline) -> int:
    """The most tasks that ran at one time: 1 is concurrency, more is parallelism."""
    edges = sorted([(s.start, 1) for s in t.slices] + [(s.start + s.length, -1) for s in t.slices],
                   key=lambda e: (e[0], e[1]))
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    lines = drawing.data["lines"]
    heights = [0.3 + 0.16 * min(rows_of(t), MAX_ROWS) for t in lines]
    axes = fig.subplots(len(lines), 1, squeeze=False, sharex=True,
                        gridspec_kw={"height_ratios": heights})[:, 0]
    end = max(t.end for t in lines)
    for axis, t in zip(axes, lines):
        names = t.tasks if len(t.tasks) <= MAX_ROWS else t.workers
        bars: dict[tuple[int, str], list[Slice]] = {}
        for s in t.slices:
            row = names.index(s.task if names is t.tasks else s.worker)
            bars.setdefault((row, drawing.looks[s.worker].colour), []).append(s)
        for (row, colour), own in bars.items():
            axis.broken_barh([(s.start, s.length) for s in own], (row - 0.33, 0.66), color=colour, linewidth=0)
            axis.vlines([s.start for s in own if s.length < end / 400], row - 0.33, row + 0.33, color=colour,
                        linewidth=0.8)
        for row, name in enumerate(names if names is t.tasks else []):
            own = [s for s in t.slices if s.task == name]
            if not own:     # it begins later than the drawing ends
                continue
            axis.plot([own[0].start, max(s.start + s.length for s in own)], [row, row],
                      color="#BBBBBB", linewidth=0.6, zorder=0)
        axis.set_yticks(range(len(names)), [_style.shown(n, 20) for n in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
        axis.grid(False, axis="y")
        axis.set_title(_style.shown(t.panel, 60), loc="left", fontweight="bold")
    _style.scale_axis(axes[-1], "x", [0, end], "ns", False)
    axes[-1].set_xlim(-0.01 * end, 1.01 * end)
    axes[-1].set_xlabel("time from the first run")
    names = drawing.series
    handles = [Patch(color=drawing.looks[n].colour) for n in names]
    if len(names) <= 16:
        _figure.legend(fig, handles, names, width)
