# SPDX-License-Identifier: MIT
"""The highest load under which a latency keeps an objective: a number with its interval for each arm.

A figure of kind `load` with an `slo` asks for it. It is read off between two measured loads, the lower
of which keeps the objective with every one before; its interval resamples the processes, six at every
load at least, because a bootstrap of fewer is too narrow: a load with fewer valid runs is left out. Where
fewer than two loads remain all count, and there is no interval. "> 0.9" says that the objective still
held at the highest load that counts, "< 0.2" that it did not at the lowest.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import textwrap
import zlib
from typing import Any, Iterator

import numpy as np

from ..planning.campaign import Campaign
from ..tools import units
from .points import Point, arm_order, gather, machine_labels, matches, setting
from .values import Value
from .stats import LEAST      # runs at a load, without which it is left out

RESAMPLES = 1000


class ObjectiveError(Exception):
    """An objective that does not fit the metric, or loads without an order."""


@dataclasses.dataclass
class Kept:
    """What an arm keeps, in one panel of a figure."""
    panel: str
    arm: str
    loads: list[float]      # that count
    runs: int               # the fewest at any of them
    found: tuple[float, ...]    # the highest load, and its interval if there is one
    lost: int               # runs that gave no number
    reason: str             # why, of the first of them

    @property
    def text(self) -> str:
        return highest_text(self.found, self.loads) if self.loads else "no valid run"


def limit(text: str, unit: str) -> float | None:
    """The objective in the metric's unit: "100us" or a plain number; None where none is asked for."""
    if not text:
        return None
    value = units.duration_ns(text) if unit == "ns" else None
    try:
        number = float(value if value is not None else text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise ObjectiveError(f"slo = {text!r} is not a positive value of a metric in {unit or '1'}")
    return number


# ---- the number ---------------------------------------------------------------------------------

def crossings(x: np.ndarray, y: np.ndarray, slo: float) -> np.ndarray:
    """The load at which each row of y first rises above slo; inf: never, -inf: from the start.

    x ascends; y is (rows, len(x)). Between two points the logarithm of y is a straight line; y itself
    is where the lower one is zero and has no logarithm."""
    found = np.full(len(y), np.inf)
    for i, row in enumerate(y):
        over = np.flatnonzero(row > slo)
        if len(over) == 0:
            continue
        k = int(over[0])
        if k == 0:
            found[i] = -np.inf
            continue
        low, at, high = (np.log if row[k - 1] > 0 else np.array)([row[k - 1], slo, row[k]])
        found[i] = x[k - 1] + (at - low) / (high - low) * (x[k] - x[k - 1])
    return found


def counting(line: list[tuple[float, np.ndarray]]) -> list[tuple[float, np.ndarray]]:
    """The loads of a line that have enough runs; all of them if less than two have."""
    enough = [(load, values) for load, values in line if len(values) >= LEAST]
    return enough if len(enough) > 1 else line


def highest(line: list[tuple[float, np.ndarray]], slo: float, name: str) -> tuple[float, ...]:
    """(highest load under slo, low, high) of a counting line, ascending; without the interval from too
    few runs. The name seeds the resampling."""
    x = np.array([load for load, _ in line])
    here = crossings(x, np.array([[np.median(values) for _, values in line]]), slo)[0]
    if min(len(values) for _, values in line) < LEAST:
        return (float(here),)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    drawn = np.stack([np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1)
                      for _, values in line], axis=1)
    spread = np.sort(crossings(x, drawn, slo))
    return (float(here), float(spread[int(0.025 * RESAMPLES)]),
            float(spread[int(0.975 * RESAMPLES) - 1]))


def highest_text(found: tuple[float, ...], loads: list[float]) -> str:
    value, *ends = (_load_text(v, loads) for v in found)
    if not ends:
        return f"{value} (too few runs for an interval)"
    return value if ends == [value, value] else f"{value} [{', '.join(ends)}]"


def _load_text(value: float, loads: list[float]) -> str:
    if value == np.inf:
        return f"> {loads[-1]:g}"
    return f"< {loads[0]:g}" if value == -np.inf else f"{value:.3g}"


# ---- of a campaign ------------------------------------------------------------------------------

def of_figure(campaign: Campaign, spec: dict[str, Any]) -> list[Kept]:
    """Every arm that the figure is about, also those that have nothing to show."""
    metric, facet = str(spec.get("y") or ""), str(spec.get("facet") or "")
    machines = machine_labels([campaign])
    panels: dict[str, list[Point]] = {}
    for point in gather(campaign):
        if spec.get("workload") in (None, "", point.workload, point.name) and \
                matches(point, spec.get("where") or {}):
            words = [point.axes.get(facet, "")] + ([machines[point.machine]] if len(machines) > 1
                                                   else [])
            panels.setdefault(" · ".join(w for w in words if w), []).append(point)
    return [kept for panel, points in panels.items()
            for kept in _of_panel(campaign, spec, metric, panel, points)]


def _of_panel(campaign: Campaign, spec: dict[str, Any], metric: str, panel: str,
              points: list[Point]) -> Iterator[Kept]:
    wanted = spec.get("arms") or ["*"]
    wanted = [wanted] if isinstance(wanted, str) else wanted
    x = str(spec.get("x") or "load")
    for arm in arm_order(campaign):
        if arm == campaign.plan.get("control") or \
                not any(fnmatch.fnmatchcase(arm, w) for w in wanted):
            continue
        lost = [r for p in points for r in p.lost if r["arm"] == arm]
        values = _by_load(points, arm, metric, x)
        line = [(load, np.array([v.number for v in runs.values()]))
                for load, runs in sorted(values.items())]
        unit = next((v.unit for runs in values.values() for v in runs.values()), "")
        slo = limit(str(spec.get("slo") or ""), unit) if line else None
        line = counting(line)
        if line or lost:
            yield Kept(panel, arm, [load for load, _ in line],
                       min((len(v) for _, v in line), default=0),
                       highest(line, slo, arm) if slo else (), len(lost),
                       lost[0]["reason"] if lost else "")


def _by_load(points: list[Point], arm: str, metric: str, x: str) -> dict[float, dict[str, Value]]:
    """{load: {block: value}} of an arm, of the loads at which it has any."""
    found: dict[float, dict[str, Value]] = {}
    for point in points:
        runs = point.values(arm, metric)
        place = setting(point, arm, x) if runs else None
        if place is None:
            continue
        try:
            load = float(place)
        except ValueError:
            raise ObjectiveError(f"{x} = {place} is not a number, so the loads have no order") from None
        if load in found:
            raise ObjectiveError(f"two points of {arm} have {x} = {place}: choose one with where")
        found[load] = runs
    return found


def table(campaign: Campaign) -> list[str]:
    """What `lab claims` prints of every figure with an objective."""
    lines = []
    for spec in campaign.plan.get("figures") or []:
        if spec.get("kind") != "load" or not spec.get("slo"):
            continue
        lines += ["", *textwrap.wrap(
            f"Highest {spec.get('x') or 'load'} at which {spec.get('y')} stays under {spec['slo']}, "
            f"with its 95 % interval ({spec.get('name', '')}):", 80, subsequent_indent="  ")]
        try:
            arms = of_figure(campaign, spec)
        except ObjectiveError as e:
            lines.append(f"  not known: {e}")
            continue
        for k in arms:
            name = " ".join(w for w in (k.panel, k.arm) if w)
            runs = f"  (n >= {k.runs})" if k.loads else ""
            lost = f"; {k.lost} run{'s' * (k.lost > 1)} without a value" if k.lost else ""
            lines += textwrap.wrap(f"  {name:<24} {k.text}{runs}{lost}", 80,
                                   subsequent_indent=" " * 27)
            if not k.loads:
                lines += textwrap.wrap(k.reason[:200], 80, initial_indent="    ",
                                       subsequent_indent="    ")
    return lines


def document(campaign: Campaign) -> list[dict[str, Any]]:
    """The same for --json."""
    made: list[dict[str, Any]] = []
    for spec in campaign.plan.get("figures") or []:
        if spec.get("kind") != "load" or not spec.get("slo"):
            continue
        asked = {"figure": spec.get("name", ""), "metric": spec.get("y"),
                 "objective": str(spec["slo"])}
        try:
            made += [{**asked, "panel": k.panel, "arm": k.arm, "highest": k.text, "runs": k.runs,
                      "without_a_number": k.lost} for k in of_figure(campaign, spec)]
        except ObjectiveError as e:
            made.append({**asked, "problem": str(e)})
    return made
