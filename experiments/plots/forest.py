# SPDX-License-Identifier: MIT
"""Every comparison with the baseline as a ratio with its interval, the A/A control among them.

    [[figure]]
    kind = "forest"
    y = "ns_per_switch"         # default: every metric the experiment names
    arms = ["mn*"]              # optional
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import math

import _data
import _figure
import _style
from shuntlab.analysis import analyse
from shuntlab.compare import ratio_text
from shuntlab.effects import Section
from shuntlab.points import matches
from shuntlab.verdicts import Comparison, word_for

WORDS = {"faster": "o", "slower": "s", "same": "D", "inconclusive": "^", "no verdict": "X",
         "control": "|", "control unknown": "|", "control missed": "X"}


def prepare(ctx: _data.Context) -> _figure.Drawing:
    metrics = [ctx.get("y")] if ctx.get("y") else []
    report = analyse(ctx.campaigns, metrics=metrics)
    wanted = ctx.spec.get("arms") or ["*"]
    entries: list[tuple[Section, Comparison]] = []
    for s in report.sections:
        if ctx.get("workload") in ("", s.point.workload, s.point.name) and \
                matches(s.point, ctx.spec.get("where") or {}):
            entries += [(s, c) for c in s.comparisons if not math.isnan(c.low) and (
                c.is_control or any(fnmatch.fnmatchcase(c.arm, w) for w in wanted))]
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
    sentences = [f"Ratio of each arm to {report.baseline}, paired within blocks; the shaded band "
                 f"is the margin of {100 * report.rules.margin:g} % within which a difference does "
                 "not matter, the grey tick the baseline against itself",
                 "Bars are exact 95 % Hodges-Lehmann intervals; verdicts by Holm over "
                 f"{report.rules.family} comparisons"]
    ends = [v for _, c in entries for v in c.ratio]
    margin = 1 + report.rules.margin
    arms = list(dict.fromkeys(c.arm for _, c in entries if not c.is_control))
    return _figure.Drawing(columns, rows, sentences, arms, [c.pairs for _, c in entries], True,
                           {"entries": entries, "report": report,
                            "several": len({s.metric for s, _ in entries}) > 1,
                            "ends": (min(*ends, 1 / margin), max(*ends, margin))}, table,
                           height=height_of(entries))


LINE, FRAME = 0.145, 0.62       # inches: of a comparison or a heading; of axis and legend
PAGE_LINES = 54                 # what leaves room for a caption below a figure of a whole column


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
    low, high = drawing.data["ends"]
    _style.scale_axis(axis, "x", [low, high], "1", True)
    axis.set_xlim(low / (high / low) ** 0.04, high * (high / low) ** 0.04)
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


if __name__ == "__main__":
    _figure.main(prepare, draw, pages)
