# SPDX-License-Identifier: MIT
"""What a cost is made of: parts that were measured apart, and what they leave unexplained.

    [[figure]]
    kind = "decomposition"
    y = "ns_per_switch"
    arms = ["ucontext"]                         # the whole
    series = ["bare swap = bare",               # a part is an arm, or a difference of two
              "FP words = asm - asm-nofp",
              "signal mask = ucontext - ucontext-nosigmask",
              "call = ns_per_call(asm)"]        # another metric of an arm, of any workload

Without series the arms are a ladder, each with one thing more than the one before: the first is
the first part, every step the next, and the last is the whole. Values are subtracted within a
round of runs, so that a drift of the machine falls out; the residual is the whole less its parts.
"""

from __future__ import annotations

import re

import numpy as np

import _data
import _figure
import _style
import _table
from shuntlab.statistics import stats
from shuntlab.statistics.values import value_of

_TERM = re.compile(r"(?:(?P<metric>[a-z][a-z0-9_.]*)\((?P<of>[^()]+)\)|(?P<arm>[^()\s]+))")

KEYS = {
    "y": ("name", "the metric; default: the headline of the workload"),
    "series": ("names", 'the parts: "label = arm - arm", "label = metric(arm)"; default: steps of arms'),
}


class Part:
    """One bar: the value of each repetition, their median and its interval."""

    def __init__(self, label: str, values: dict[int, float]):
        if not values:
            raise _data.FigureError(f"{label}: no repetition has all its runs")
        self.label, self.values = label, values
        numbers = list(values.values())
        interval = stats.quantile_interval(numbers)
        self.median = float(np.median(numbers))
        self.exact = interval is not None
        self.low, self.high = interval or (min(numbers), max(numbers))


def prepare(ctx: _data.Context) -> _figure.Drawing:
    if ctx.many_machines:
        raise _data.FigureError("costs of different machines do not add up; give one campaign")
    metric = ctx.metric()
    arms = ctx.spec.get("arms") or [ctx.campaigns[0].plan["baseline"]]
    arms = [arms] if isinstance(arms, str) else list(arms)
    written = ctx.spec.get("series") or []
    lookup = Lookup(ctx)
    ladder = not written
    if ladder:
        if len(arms) < 2:
            raise _data.FigureError("needs arms as a ladder, or series with the parts")
        steps = zip(arms, arms[1:])
        written = [f"{arms[0]} = {arms[0]}"] + [f"+ {b} = {b} - {a}" for a, b in steps]
    whole = Part(arms[-1], lookup.term(arms[-1], metric))
    parts = [lookup.part(text, metric) for text in written]
    shared = set(whole.values).intersection(*(p.values for p in parts))
    rest = Part("residual", {k: whole.values[k] - sum(p.values[k] for p in parts)
                             for k in shared})
    unit = lookup.unit
    columns = ["part", "n", "median", "low", "high", "share", "unit"]
    every = parts + ([] if ladder else [rest]) + [whole]
    rows = [dict(zip(columns, (p.label, len(p.values), p.median, p.low, p.high,
                               p.median / whole.median, unit))) for p in every]
    shown = [f"What {_figure.axis_label(metric, unit)} of {arms[-1]} is made of; " + told(written, ladder)]
    head, *cells = _table.column(_figure.axis_label(metric, unit), [
        _table.Entry(p.median, p.low, p.high, unit, len(p.values)) for p in every])
    table = (["part", head, "share"], [[p.label, text, f"{100 * p.median / whole.median:.0f} %"]
                                       for p, text in zip(every, cells)])
    return _figure.Drawing(
        columns, rows, table, shown, [], [len(p.values) for p in every],
        _figure.EXACT if all(p.exact for p in every) else _figure.SPANS, 1,
        {"parts": parts, "rest": None if ladder else rest, "whole": whole, "metric": metric, "unit": unit},
        height=0.5 + 0.19 * len(every))


def told(written: list[str], ladder: bool) -> str:
    """How the parts were come by."""
    if ladder:
        return "every step is a difference within a round of runs"
    terms = [w for text in written for w in text.partition("=")[2].split()[::2]]
    rest = ("the residual is what they leave unexplained, and below zero where the processor does "
            "several of them at once")
    if all("(" in t for t in terms):
        return "every part was measured by itself, in the same rounds of runs; " + rest
    return "parts are differences within a round of runs; " + rest


class Lookup:
    """Values of an arm by repetition, wherever in the campaign its one point with them is."""

    def __init__(self, ctx: _data.Context):
        self.points, self.unit = ctx.points(), "ns"

    def term(self, arm: str, metric: str) -> dict[int, float]:
        found = []
        for point in self.points:
            values = {r["repetition"]: v for r in point.runs.get(arm, {}).values()
                      if (v := value_of(r, metric)) is not None}
            if values:
                found.append(values)
        if len(found) != 1:
            raise _data.FigureError(f"{metric} of {arm} is measured at {len(found)} points, and "
                                    "must be at one; choose it with where or workload")
        self.unit = next(iter(found[0].values())).unit
        return {k: v.number for k, v in found[0].items()}

    def part(self, text: str, metric: str) -> Part:
        label, _, expression = text.partition("=")
        words = expression.split()
        if not words or len(words) % 2 == 0 or any(w not in "+-" for w in words[1::2]):
            raise _data.FigureError(f"{text!r} is not \"label = arm - arm\"")
        total: dict[int, float] | None = None
        for sign, word in zip(["+", *words[1::2]], words[::2]):
            t = _TERM.fullmatch(word)
            if not t:
                raise _data.FigureError(f"{text!r}: {word!r} is not an arm or metric(arm)")
            own = self.term(t["arm"] or t["of"], t["metric"] or metric)
            factor = 1 if sign == "+" else -1
            total = {k: factor * v for k, v in own.items()} if total is None else {
                k: total[k] + factor * own[k] for k in total.keys() & own.keys()}
        return Part(label.strip(), total or {})


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    parts, rest, whole, unit = (drawing.data[k] for k in ("parts", "rest", "whole", "unit"))
    axis = fig.subplots()
    steps = parts + ([rest] if rest else [])
    left, ends = 0.0, [whole.high]
    for row, p in enumerate(steps):
        colour = "#FFFFFF" if p is rest else _style.COLOURS[row % len(_style.COLOURS)]
        axis.barh(row, p.median, left=left, height=0.62, color=colour, edgecolor="#444444",
                  linewidth=0.5, hatch="////" if p is rest else None)
        bar(axis, row, left, p)
        axis.plot([left + p.median] * 2, [row - 0.31, row + 1.31], color="#888888", linewidth=0.5)
        ends += [left + p.high, left + p.low]
        left += p.median
    axis.barh(len(steps), whole.median, height=0.62, color="#BBBBBB", edgecolor="#444444",
              linewidth=0.5)
    bar(axis, len(steps), 0.0, whole)
    everything = [*steps, whole]
    axis.set_yticks(range(len(everything)), [_style.shown(p.label) for p in everything])
    axis.set_ylim(len(everything) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")
    room = max(ends) - min(0, *ends)
    for row, p in enumerate(everything):
        end = p.high if p is whole else sum(q.median for q in steps[:row]) + max(p.high, 0)
        axis.annotate(number(p.median), (end, row), xytext=(3, 0), textcoords="offset points",
                      va="center", fontsize=6.5)
    axis.set_xlim(min(0, *ends) - (0.02 * room if min(ends) < 0 else 0), max(ends) + 0.13 * room)
    _style.scale_axis(axis, "x", [0, max(ends)], unit, False)
    axis.set_xlabel(_figure.axis_label(drawing.data["metric"], unit))


def number(value: float) -> str:
    """Three digits, and no more than two of them behind the point."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def bar(axis, row: int, left: float, p: Part) -> None:
    axis.errorbar([left + p.median], [row], xerr=[[p.median - p.low], [p.high - p.median]],
                  color="black", linestyle="none", linewidth=0.8)
