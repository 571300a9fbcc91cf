# SPDX-License-Identifier: MIT
"""Speed-up over the smallest machine share, with the ideal it is measured against.

    [[figure]]
    kind = "scaling"
    x = "workers"               # default
    y = "ops_per_s"             # default: the headline metric; a time counts the other way

Each series is compared with itself at the least x: one above it is what adding workers bought.
"""

from __future__ import annotations

import math

import numpy as np

import _axes
import _data
import _figure
import _style
from shuntlab.statistics import stats

KEYS = {
    "x": ("name", "what is added, a parameter or a slot's setting; default: workers"),
    "y": ("name", "the metric; default: the headline of the workload; a time counts the other way"),
    "series": ("name", "a line for each: `arm` (default), a parameter, workload"),
    "facet": ("name", "a panel for each: a parameter, a slot"),
    "logx": ("flag", "both axes; default: from a factor of 4 on"),
}


def speed_ups(line: list[_data.Cell]) -> list[tuple[_data.Cell, float, float, float, bool]]:
    """(cell, speed-up, low, high, exact) of each cell of a series over its first."""
    base, found = line[0], []
    for cell in line:
        if cell is base:
            found.append((cell, 1.0, 1.0, 1.0, True))
            continue
        x, y = _data.logs(cell), _data.logs(base)
        x, y = (x, y) if cell.better == "higher" else (y, x)
        e = stats.unpaired(x, y)
        centre, low, high = float(e.estimate[0]), float(e.low[0]), float(e.high[0])
        exact = not math.isnan(low)
        if not exact:
            spread = [float(v) for v in (np.min(x) - np.max(y), np.max(x) - np.min(y))]
            low, high = spread
        found.append((cell, *(math.exp(v) for v in (centre, low, high)), exact))
    return found


def prepare(ctx: _data.Context) -> _figure.Drawing:
    metric, x, series = ctx.metric(), ctx.get("x", "workers"), ctx.get("series", "arm")
    found = _data.cells(ctx, metric, x, series, ctx.get("facet"))
    if not _data.numeric(found):
        raise _data.FigureError(f"{x} is not a number at every point")
    results = [(title, name, r) for title, own in _data.panels(found)
               for name, line in _data.lines_of(own) for r in speed_ups(line)]
    columns = ["panel", "series", x, "n", "speed_up", "low", "high", "efficiency", "median", "unit"]
    least = min(c.number for c in found)
    rows = [dict(zip(columns, (t, name, c.x, c.n, s, low, high, s * least / c.number, c.median,
                               c.unit)))
            for t, name, (c, s, low, high, _) in results]
    many = len({t for t, _, _ in results}) > 1
    table = ([*["panel"] * many, _figure.pretty(series), _figure.pretty(x), "speed-up", "efficiency"], [
        [*[t] * many, name, _data.with_unit(c.point, x, c.x), f"{s:.2f} [{low:.2f}, {high:.2f}]",
         f"{100 * s * least / c.number:.0f} %"] for t, name, (c, s, low, high, _) in results])
    log = bool(ctx.spec.get("logx", max(c.number for c in found) / least > 4))
    panels: dict[str, dict[str, list[_axes.Place]]] = {}
    for t, name, (c, *place, _) in results:
        panels.setdefault(t, {}).setdefault(name, []).append((c.number, *place))
    places, moved = _axes.set_apart(list(panels.values()), log, log)
    label = _figure.axis_label(metric, found[0].unit)
    said = [f"Speed-up of each {_figure.pretty(series)} over itself at {_figure.pretty(x)} = {least:g} "
            f"({label}); the thin line is the ideal"] + [_axes.MOVED] * moved
    return _figure.Drawing(
        columns, rows, table, said, list(dict.fromkeys(c.series for c in found)), [c.n for c in found],
        "Bars are exact 95 % intervals of the shift between independent runs" + (
            "" if all(r[2][4] for r in results) else
            "; where there are too few runs for one, they span all pairs of runs"),
        len(panels), {"panels": dict(zip(panels, places)), "x": x, "least": least, "log": log,
                      "values": sorted({c.number for c in found})})


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    panels, x, least, log, values = (drawing.data[k] for k in ("panels", "x", "least", "log", "values"))
    axes = _axes.grid(fig, len(panels), width)
    handles = {}
    for axis, (title, lines) in zip(axes, panels.items()):
        ideal, = axis.plot([least, max(values)], [1, max(values) / least], color="#999999",
                           linewidth=0.8, linestyle="-", zorder=1)
        handles["ideal"] = ideal
        for name, line in lines.items():
            handles[name] = _axes.points(axis, line, drawing.looks[name])
        if log:
            axis.set_xscale("log", base=2)
            axis.set_yscale("log", base=2)
            axis.yaxis.set_major_formatter(_style.FuncFormatter(lambda v, _: _style.tick(v)))
            axis.yaxis.set_minor_formatter(_style.NullFormatter())
        _style.exact_ticks(axis, "x", values)
        if title:
            axis.set_title(_style.shown(title, 60))
    for axis in _axes.bottom(axes):
        axis.set_xlabel(_figure.pretty(x))
    if not log:         # after all are drawn: it fixes the other end too, and they share the axis
        axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("speed-up")
    order = [n for n in handles if n != "ideal"] + ["ideal"]
    _figure.legend(fig, [handles[n] for n in order], order, width)
