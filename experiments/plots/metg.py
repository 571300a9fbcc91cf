# SPDX-License-Identifier: MIT
"""Throughput against granularity, and the minimum effective task granularity (METG) of each arm.

    [[figure]]
    kind = "metg"
    x = "chunk"                 # what makes a task larger; a parameter, or a metric in ns
    y = "elements_per_s"        # useful work a second

Efficiency is throughput over the best of any arm on that machine. METG(50 %) is the least
granularity from which on an arm keeps half of it (Slaughter et al., Task Bench, SC 2020), read off
between two measured points on logarithmic axes; its interval resamples the processes.
"""

from __future__ import annotations

import zlib

import numpy as np

import _axes
import _data
import _figure
import _style

LEVEL = 0.5
RESAMPLES = 1000

KEYS = {
    "x": ("name", "what makes a task larger, a parameter or a metric in ns; default: chunk"),
    "y": ("name", "useful work a second; default: the headline of the workload"),
    "series": ("name", "a line for each: `arm` (default), a parameter, a slot"),
    "facet": ("name", "a panel for each: a parameter, a slot"),
    "logx": ("flag", "default: true"),
    "logy": ("flag", "default: true"),
}


def crossing(x: np.ndarray, efficiency: np.ndarray) -> np.ndarray:
    """Where each row of efficiency last rises through LEVEL; nan: never, -inf: always above.

    x ascends; efficiency is (rows, len(x))."""
    above = efficiency >= LEVEL
    found = np.full(len(efficiency), np.nan)
    for i, row in enumerate(above):
        if row.all():
            found[i] = -np.inf
        elif row[-1]:
            k = int(np.flatnonzero(~row)[-1])
            lx, le = np.log(x[k:k + 2]), np.log(efficiency[i, k:k + 2])
            found[i] = np.exp(lx[0] + (np.log(LEVEL) - le[0]) * (lx[1] - lx[0]) / (le[1] - le[0]))
    return found


def metg(line: list[_data.Cell], best: float, seed: int) -> tuple[float, float, float]:
    """(METG, low, high); nan where it lies beyond what was measured, -inf where below it."""
    x = np.array([c.number for c in line])
    rng = np.random.default_rng(seed)
    medians = np.array([[c.median for c in line]]) / best
    drawn = np.stack([np.median(rng.choice(c.values, (RESAMPLES, c.n)), axis=1) for c in line],
                     axis=1) / best
    spread = np.sort(np.nan_to_num(crossing(x, drawn), nan=np.inf))
    low, high = spread[int(0.025 * RESAMPLES)], spread[int(0.975 * RESAMPLES) - 1]
    return float(crossing(x, medians)[0]), float(low), float(high)


def metg_text(value: float, line: list[_data.Cell], unit: str) -> str:
    if np.isnan(value) or value == np.inf:
        return f"> {_style.tick(line[-1].number, unit)}"
    if value == -np.inf:
        return f"< {_style.tick(line[0].number, unit)}"
    return _style.tick(value, unit)


def prepare(ctx: _data.Context) -> _figure.Drawing:
    metric, x = ctx.metric(), ctx.get("x", "chunk")
    found = _data.cells(ctx, metric, x, ctx.get("series", "arm"), ctx.get("facet"))
    if not _data.numeric(found) or found[0].better != "higher":
        raise _data.FigureError(f"needs a numeric x and a throughput for y, not {x} and {metric}")
    unit = _data.unit_of(found[0].point, x)
    curves, rows, table = [], [], []
    columns = ["panel", "series", x, "n", "median", "low", "high", "efficiency", "metg", "metg_low",
               "metg_high", "unit"]
    for title, own in _data.panels(found):
        best = max(c.median for c in own)
        for name, line in _data.lines_of(own):
            m = metg(line, best, zlib.crc32(f"{title}/{name}".encode()))
            curves.append((title, name, line, best, m))
            rows += [dict(zip(columns, (title, name, c.x, c.n, c.median, c.low, c.high,
                                        c.median / best, *m, c.unit))) for c in line]
            table.append([*([title] if ctx.many_machines or ctx.get("facet") else []), name,
                          metg_text(m[0], line, unit),
                          f"{metg_text(m[1], line, unit)} to {metg_text(m[2], line, unit)}",
                          f"{100 * line[-1].median / best:.0f} %"])
    heads = [*(["panel"] if len(table[0]) == 5 else []), "arm",
             f"METG(50 %) in {_figure.pretty(x)}", "95 % interval", "efficiency at the largest"]
    logy = bool(ctx.spec.get("logy", True))
    logx = bool(ctx.spec.get("logx", True))
    panels: dict[str, dict[str, list[_axes.Place]]] = {}
    for title, name, line, *_ in curves:
        panels.setdefault(title, {})[name] = [(c.number, c.median, c.low, c.high) for c in line]
    # Here lines run together at their ends by nature, and where they part is read off along x.
    label = _figure.sentence(_figure.axis_label(metric, found[0].unit))
    return _figure.Drawing(columns, rows, (heads, table), [
        f"{label} against {_figure.pretty(x)}; the vertical ticks mark METG(50 %), the least granularity "
        "that keeps half of the best throughput here"],
        list(dict.fromkeys(c.series for c in found)), [c.n for c in found], _figure.bars_of(found),
        len(panels), {"curves": curves, "panels": panels, "x": x, "metric": metric, "unit": unit,
                      "logx": logx, "logy": logy})


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    curves, panels, x, unit = (drawing.data[k] for k in ("curves", "panels", "x", "unit"))
    axes = _axes.grid(fig, len(panels), width)
    medians = [c.median for _, _, line, _, _ in curves for c in line]
    values = [c.number for _, _, line, _, _ in curves for c in line]
    handles = {}
    for axis, (title, lines) in zip(axes, panels.items()):
        for name, line in lines.items():
            handles[name] = _axes.points(axis, line, drawing.looks[name])
        half = {title: best * LEVEL for title, _, _, best, _ in curves}[title]
        axis.axhline(half, color="#999999", linewidth=0.6, zorder=1)
        for _, name, _, _, m in (c for c in curves if c[0] == title):
            mark(axis, m, half, drawing.looks[name].colour)
        if axis in _axes.right(axes):
            _axes.beside(axis, half, "50 %")
        _style.scale_axis(axis, "y", medians, "1/s", drawing.data["logy"])
        _style.scale_axis(axis, "x", values, unit, drawing.data["logx"])
        if title:
            axis.set_title(_style.shown(title, 60))
    for axis in _axes.bottom(axes):
        axis.set_xlabel(_figure.pretty(x))
    axes[0].set_ylabel(_figure.axis_label(drawing.data["metric"], "1/s"))
    _figure.legend(fig, list(handles.values()), list(handles), width)


def mark(axis, m: tuple[float, float, float], half: float, colour: str) -> None:
    if not np.isfinite(m[0]):
        return
    axis.plot([m[0]], [half], color=colour, marker="|", markersize=9, markeredgewidth=1.4,
              linestyle="none", zorder=5)
    if np.isfinite(m[1]) and np.isfinite(m[2]):
        axis.plot(m[1:], [half, half], color=colour, linewidth=2.4, alpha=0.5,
                  solid_capstyle="butt", zorder=4)
