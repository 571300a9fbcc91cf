# SPDX-License-Identifier: MIT
"""From the records of one or more campaigns to the cells a figure draws.

A cell is one arm at one point on one machine: the values of its runs, their median and the exact
interval of it. A figure that would put two points into one cell is refused with the parameter that
tells them apart, because an average over a forgotten parameter means nothing; and one whose line would
join two workloads.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

import numpy as np

import _style   # first: it says where shuntlab is
from shuntlab.planning.campaign import Campaign
from shuntlab.statistics import stats
from shuntlab.statistics.analysis import no_run_has
from shuntlab.statistics.points import Point, arm_order, fact, gather, machine_labels, manifest_of, matches, setting
from shuntlab.statistics.values import headline, value_of


class FigureError(Exception):
    """A figure that cannot be drawn from these records; the message says why."""


@dataclass
class Cell:
    """What is drawn at one place."""
    machine: str
    facet: str
    series: str
    x: str
    unit: str
    better: str
    values: np.ndarray
    point: Point
    arm: str
    median: float = 0.0
    low: float = 0.0
    high: float = 0.0
    exact: bool = True      # False: too few runs for an interval, low and high are the extremes

    def __post_init__(self):
        interval = stats.quantile_interval(self.values)
        self.median = float(np.median(self.values))
        self.exact = interval is not None
        self.low, self.high = interval or (float(self.values.min()), float(self.values.max()))

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def number(self) -> float:
        return float(self.x)


@dataclass
class Context:
    """One figure to be drawn: its table in the experiment, and the records."""
    campaigns: list[Campaign]
    spec: dict[str, Any]
    machines: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.machines = machine_labels(self.campaigns)

    @property
    def many_machines(self) -> bool:
        return len(self.machines) > 1

    def get(self, key: str, default: str = "") -> str:
        return str(self.spec.get(key) or default)

    def metric(self, key: str = "y") -> str:
        """The metric a figure is about: as written, else the headline of its workload."""
        points = self.points()
        return self.get(key) or headline(points[0].campaign, points[0].workload)

    def points(self) -> list[Point]:
        where, workload = self.spec.get("where") or {}, self.get("workload")
        found = [p for c in self.campaigns for p in gather(c)
                 if workload in ("", p.workload, p.name) and matches(p, where)]
        if not any(p.runs for p in found):
            raise FigureError("no finished run is what the figure asks for")
        return found

    def arms(self, point: Point, control: bool = False) -> list[str]:
        """The arms of a point that the figure wants, in the experiment's order."""
        return [a for a in arm_order(point.campaign) if a in point.runs
                and self.wants(point.campaign, a, control)]

    def wants(self, campaign: Campaign, arm: str, control: bool = False) -> bool:
        wanted = self.spec.get("arms") or ["*"]
        wanted = [wanted] if isinstance(wanted, str) else wanted
        return (control or arm != campaign.plan.get("control", "")) and any(
            fnmatch.fnmatchcase(arm, w) for w in wanted)

    def left_out(self) -> str:
        """How many runs of what is drawn gave no value, and why; empty where all gave one."""
        lost, every = [], 0
        for point in self.points():
            own = [r for r in point.lost if self.wants(point.campaign, r["arm"])]
            lost += own
            every += len(own) + sum(len(point.runs[a]) for a in self.arms(point))
        if not lost:
            return ""
        invalid = sum(r["reason"].startswith("invalid:") for r in lost)
        kinds = Counter(r["status"] for r in lost if not r["reason"].startswith("invalid:"))
        why = [f"{invalid} invalid"] * bool(invalid) + [f"{n} {k}" for k, n in sorted(kinds.items())]
        return f"{len(lost)} of {every} runs are left out ({', '.join(why)})"

    def commits(self) -> list[str]:
        """The commits that the runs were built from, marked where the tree had changes."""
        builds = {}
        for c in self.campaigns:
            for r in c.ok():
                key = Path(r["lab"]["file"]).parent, r["env_id"]
                if key not in builds:
                    builds[key] = manifest_of(r)
        return sorted({str(commit)[:12] + " (modified)" * bool(fact(m, "build.dirty"))
                       for m in builds.values() if (commit := fact(m, "build.commit"))})


def cells(ctx: Context, metric: str, x: str, series: str = "arm", facet: str = "") -> list[Cell]:
    """Every cell of a figure, in the plan's order."""
    found: dict[tuple[str, ...], Cell] = {}
    for point in ctx.points():
        for arm in ctx.arms(point):
            cell = _cell(ctx, point, arm, metric, x, series, facet)
            if cell is None:
                continue
            key = (cell.machine, cell.facet, cell.series, cell.x)
            other = found.get(key)
            if other is not None:
                raise FigureError(_mixed(other, cell))
            found[key] = cell
    if not found:
        raise FigureError("; ".join(no_run_has(ctx.campaigns[0], [metric])))
    return list(found.values())


def apart(found: list[Cell]) -> list[Cell]:
    """The same cells; refused if a line would join two workloads."""
    for _, panel in panels(found):
        for name, line in lines_of(panel):
            own = list(dict.fromkeys(c.point.name for c in line))
            if len(own) > 1 and numeric(line):
                raise FigureError(f"the line of {name} would join the workloads {own[0]} and "
                                  f"{own[1]}; use workload as series or facet, or choose one")
    return found


def _cell(ctx: Context, point: Point, arm: str, metric: str, x: str, series: str,
          facet: str) -> Cell | None:
    values = [v for r in point.runs[arm].values() if (v := value_of(r, metric)) is not None]
    if not values:
        return None
    places = {k: setting(point, arm, k) if k else "" for k in (x, series, facet)}
    if places[x] is None:
        raise FigureError(f"{point.label} has no {x!r} to put on the x axis; it has "
                          + ", ".join(["arm", *point.axes]))
    return Cell(point.machine, panel_title(ctx, point, facet, places[facet]),
                series_name(point, series, places[series] or ""), places[x], values[0].unit, values[0].better,
                np.array([v.number for v in values]), point, arm)


def panel_title(ctx: Context, point: Point, facet: str, value: str | None) -> str:
    """The title of the panel a point belongs to; machines never share one."""
    own = "" if not facet or facet == "machine" else (
        value or "" if facet == "workload" else
        f"{facet.removeprefix('backend.').replace('_', ' ')} {with_unit(point, facet, value or '')}")
    machine = ctx.machines[point.machine] if ctx.many_machines or facet == "machine" else ""
    return " · ".join(t for t in (own, machine) if t)


def unit_of(point: Point, name: str) -> str:
    """The unit of what an axis or a panel is named for: a parameter, in base units, or a metric."""
    own = {"duration": "ns", "size": "B"}.get(point.type_of(name))
    return own or ("ns" if name.endswith("_ns") else "B" if name.endswith("_bytes") else "1")


def with_unit(point: Point, name: str, value: str) -> str:
    """A parameter's value, kept in base units, as people say it: 20 µs, 64 KiB, 10k."""
    return _style.tick(float(value), unit_of(point, name)) if value.isdecimal() else value


def series_name(point: Point, name: str, value: str) -> str:
    """What a legend calls a series: an arm or a word by itself, a number with what it counts."""
    if name in ("arm", "backend", "machine", "workload") or not value.isdecimal():
        return value
    return f"{name.removeprefix('backend.').replace('_', ' ')} {with_unit(point, name, value)}"


def _mixed(a: Cell, b: Cell) -> str:
    differ = [k for k in {**a.point.axes, **b.point.axes}
              if a.point.axes.get(k) != b.point.axes.get(k)]
    what = f"{differ[0]} = {a.point.axes.get(differ[0])} and {b.point.axes.get(differ[0])}" if (
        differ) else f"arms {a.arm} and {b.arm}" if a.arm != b.arm else (
        f"{a.point.label} and {b.point.label}")
    return (f"two points would be one: {what} at x = {a.x}, series {a.series}; use it as x, series "
            "or facet, or choose one with where")


def panels(found: list[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    for title in dict.fromkeys(c.facet for c in found):
        yield title, [c for c in found if c.facet == title]


def lines_of(found: list[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """The series of a panel, each sorted along x where x is a number."""
    for name in dict.fromkeys(c.series for c in found):
        own = [c for c in found if c.series == name]
        yield name, sorted(own, key=lambda c: c.number) if numeric(own) else own


def numeric(found: list[Cell]) -> bool:
    try:
        return all(np.isfinite(c.number) for c in found)
    except ValueError:
        return False


def logs(cell: Cell) -> np.ndarray:
    lost = int((cell.values <= 0).sum())
    if lost:
        raise FigureError(f"{cell.arm} at {cell.point.label}: {lost} of {cell.n} runs have a value of "
                          "zero or below, and so no ratio")
    return np.log(cell.values)
