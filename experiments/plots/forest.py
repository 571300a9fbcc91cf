# SPDX-License-Identifier: MIT
"""Every comparison with the baseline as a ratio with its interval, the A/A control among them.

    [[figure]]
    kind = "forest"
    y = "ns_per_switch"         # default: every metric the experiment names
    arms = ["mn*"]              # optional
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

import _data
import _figure
import _style
from shuntlab.output.wording import ratio_text
from shuntlab.statistics.analysis import analyse
from shuntlab.statistics.effects import Section
from shuntlab.statistics.points import matches
from shuntlab.statistics.verdicts import Comparison, word_for

WORDS = {"faster": "o", "slower": "s", "same": "D", "inconclusive": "^", "no verdict": "X",
         "control": "|", "control unknown": "|", "control missed": "X"}

KEYS = {
    "y": ("name", "the metric; default: every metric that the experiment names"),
}


def prepare(ctx: _data.Context) -> _figure.Drawing:
    metrics = [ctx.get("y")] if ctx.get("y") else []
    report = analyse(ctx.campaigns, metrics=metrics)
    entries: list[tuple[Section, Comparison]] = []
    for s in report.sections:
        if ctx.get("workload") in ("", s.point.workload, s.point.name) and \
                matches(s.point, ctx.spec.get("where") or {}):
            entries += [(s, c) for c in s.comparisons if not math.isnan(c.low) and (
                c.is_control or ctx.wants(s.point.campaign, c.arm))]
    if not entries:
        raise _data.FigureError("no comparison has an interval yet: at least 6 blocks are needed")
    columns = ["machine", "point", "metric", "arm", "over", "pairs", "ratio", "low", "high",
               "p_holm", "verdict"]
    rows = [dict(zip(columns, (ctx.machines[s.point.machine], s.point.label, s.metric, c.arm,
                               c.over, c.pairs, *c.ratio, c.p_holm, c.verdict.word)))
            for s, c in entries]
    table = (["point", "arm", f"ratio to {report.baseline}", "p", "verdict"], [
        [f"{s.point.label} {s.metric}", c.arm, ratio_text(c),
         "" if math.isnan(c.p_holm) else f"{c.p_holm:.2g}", word_for(c.verdict, s.unit, s.better)]
        for s, c in entries])
    ends = [v for _, c in entries for v in c.ratio]
    margin = 1 + report.rules.margin
    ends = (min(*ends, 1 / margin), max(*ends, margin))
    sentences = [f"Ratio of each arm to {report.baseline}, paired within blocks; the shaded band "
                 f"is the margin of {100 * report.rules.margin:g} % within which a difference does "
                 "not matter, the grey tick the baseline against itself"]
    if stretch(report.rules.margin, ends) > 1:
        sentences.append(f"Between the dotted lines, within {100 * INNER * report.rules.margin:g} % of 1, the "
                         "logarithmic axis is stretched")
    arms = list(dict.fromkeys(c.arm for _, c in entries if not c.is_control))
    return _figure.Drawing(
        columns, rows, table, sentences, arms, [c.pairs for _, c in entries],
        "Bars are exact 95 % Hodges-Lehmann intervals; verdicts by Holm over "
        f"{report.rules.family} comparisons", 1,
        {"entries": entries, "report": report, "several": len({s.metric for s, _ in entries}) > 1,
         "ends": ends}, height=height_of(entries))


# ---- the axis -----------------------------------------------------------------------------------

INNER = 3           # times the margin: what is stretched
SHARE = 0.3         # of the axis: what it then takes
TICKS = (1, 10, 0.1, 2, 0.5, 100, 0.01, 1000, 0.001, 5, 0.2, 1.05, 0.95, 50, 0.05, 20, 1.02, 0.98, 1.5, 0.7, 1.2,
         1.1, 0.9, 0.8, 3, 1.01, 0.99)


def stretch(margin: float, ends: tuple[float, float]) -> float:
    """By how much the neighbourhood of 1 is stretched; 1: the margin can be seen without."""
    inner, whole = math.log1p(INNER * margin), math.log(ends[1] / ends[0])
    return max(1.0, SHARE / (1 - SHARE) * (whole - 2 * inner) / (2 * inner)) if whole > 24 * math.log1p(
        margin) else 1.0


def scale(axis, margin: float, ends: tuple[float, float]) -> None:
    """A logarithmic axis, stretched about 1 where the margin would be a hairline on it."""
    factor, inner = stretch(margin, ends), math.log1p(INNER * margin)

    def there(ratio):
        u = np.log(np.maximum(ratio, 1e-12))
        return np.sign(u) * (np.minimum(np.abs(u), inner) * factor + np.maximum(np.abs(u) - inner, 0))

    def back(place):
        size = np.abs(place)
        u = np.minimum(size, inner * factor) / factor + np.maximum(size - inner * factor, 0)
        return np.exp(np.sign(place) * u)

    axis.set_xscale("function", functions=(there, back))
    low, high = (float(there(v)) for v in ends)
    room = 0.04 * (high - low)
    axis.set_xlim(float(back(low - room)), float(back(high + room)))
    chosen: list[float] = []
    for value in TICKS:
        place = float(there(value))
        if low - room <= place <= high + room and all(abs(place - there(c)) > 0.1 * (high - low) for c in chosen):
            chosen.append(value)
    _style.exact_ticks(axis, "x", sorted(chosen))
    if factor > 1:
        for end in (math.exp(-inner), math.exp(inner)):
            axis.axvline(end, color="#888888", linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)


# ---- pages --------------------------------------------------------------------------------------

LINE, FRAME = 0.145, 0.62       # inches: of a comparison or a heading; of axis and legend
PAGE_LINES = 42                 # what leaves room for a caption below a figure of a whole column


def group_of(entry: tuple[Section, Comparison]) -> tuple[str, str, str]:
    s = entry[0]
    return s.point.machine, s.point.id, s.metric


def height_of(entries: list[tuple[Section, Comparison]]) -> float:
    return FRAME + LINE * (len(entries) + len({group_of(e) for e in entries}))


def pages(drawing: _figure.Drawing, width: float) -> list[_figure.Drawing]:
    """Cut between two points where it can be, within one where it is longer than a page."""
    parts: list[list[tuple[Section, Comparison]]] = [[]]
    lines = 0
    for _, some in itertools.groupby(drawing.data["entries"], group_of):
        group = list(some)
        while group:
            room = PAGE_LINES - lines - 1
            if len(group) > room and (lines > PAGE_LINES / 2 or room < 3):
                parts.append([])
                lines, room = 0, PAGE_LINES - 1
            parts[-1] += group[:room]
            lines += 1 + len(group[:room])
            group = group[room:]
    return [dataclasses.replace(drawing, data={**drawing.data, "entries": p}, height=height_of(p))
            for p in parts]


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    entries, report = drawing.data["entries"], drawing.data["report"]
    axis = fig.subplots()
    y, last, ticks = 0.0, None, []
    for s, c in entries:
        group = (s.point.machine, s.point.id, s.metric)
        if group != last:
            last = group
            ticks.append((y, heading(ctx, s, len(ctx.machines) > 1, drawing), True))
            y += 1
        ratio, low, high = c.ratio
        look = _style.GREY if c.is_control else drawing.looks[c.arm].colour
        axis.errorbar([ratio], [y], xerr=[[ratio - low], [high - ratio]], color=look,
                      marker=WORDS.get(c.verdict.word, "o"), markersize=3.4,
                      markerfacecolor="white" if c.verdict.word == "inconclusive" else look)
        ticks.append((y, c.arm, False))
        y += 1
    margin = report.rules.margin
    axis.axvspan(1 / (1 + margin), 1 + margin, color="#E6E6E6", linewidth=0, zorder=0)
    axis.axvline(1, color="#888888", linewidth=0.6, zorder=1)
    axis.set_ylim(y - 0.4, -0.7)
    labels(axis, ticks, width)
    scale(axis, margin, drawing.data["ends"])
    axis.set_xlabel(f"ratio to {report.baseline}")
    axis.grid(False, axis="y")
    axis.spines["left"].set_visible(False)
    used = [w for w in WORDS if any(c.verdict.word == w for _, c in entries)]
    handles = [axis.plot([], [], linestyle="none", color=_style.GREY if "control" in w else
                         _style.BLACK, marker=WORDS[w], markersize=3.4, markerfacecolor="white"
                         if w == "inconclusive" else None)[0] for w in used]
    _figure.legend(fig, handles, used, width)


def heading(ctx, s: Section, machines: bool, drawing: _figure.Drawing) -> str:
    text = s.point.label + (f", {s.metric}" if drawing.data["several"] else "")
    return f"{ctx.machines[s.point.machine]}: {text}" if machines else text


def labels(axis, ticks: list[tuple[float, str, bool]], width: float) -> None:
    """Arms as tick labels; the heading of a group inside the axes, on a line of its own."""
    room = 22 if width < 5 else 40
    arms = [(y, t) for y, t, head in ticks if not head]
    axis.set_yticks([y for y, _ in arms],
                    [_style.shown(t, room) for _, t in arms])
    axis.tick_params(axis="y", length=0)
    room = 62 if width < 5 else 130
    for y, text, head in ticks:
        if head:
            axis.annotate(_style.shown(text, room), (0, y),
                          xycoords=("figure fraction", "data"), va="center", ha="left",
                          xytext=(3, 0), textcoords="offset points", fontsize=7,
                          fontweight="bold", annotation_clip=False, zorder=6, bbox={
                              "facecolor": "white", "edgecolor": "none", "pad": 0.8})
            axis.axhline(y - 0.5, color="#CCCCCC", linewidth=0.4)
