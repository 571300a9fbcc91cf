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

import _data
import _figure
import _style

LEVEL = 0.5
RESAMPLES = 1000


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
    unit = _style.unit_of(x)
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
    return _figure.Drawing(columns, rows, [
        f"{_figure.pretty(metric).capitalize()} against {_figure.pretty(x)}; the vertical ticks "
        "mark METG(50 %), the least granularity that keeps half of the best throughput here"],
        list(dict.fromkeys(c.series for c in found)), [c.n for c in found],
        all(c.exact for c in found), {"curves": curves, "x": x, "metric": metric, "unit": unit},
        (heads, table))


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    curves, x, unit = (drawing.data[k] for k in ("curves", "x", "unit"))
    titles = list(dict.fromkeys(c[0] for c in curves))
    axes = _figure.grid(fig, len(titles), width)
    medians = [c.median for _, _, line, _, _ in curves for c in line]
    values = [c.number for _, _, line, _, _ in curves for c in line]
    handles = {}
    for axis, title in zip(axes, titles):
        for _, name, line, best, m in (c for c in curves if c[0] == title):
            look = drawing.looks[name]
            handles[name] = axis.errorbar(
                [c.number for c in line], [c.median for c in line],
                [[c.median - c.low for c in line], [c.high - c.median for c in line]],
                **look.line())
            half = best * LEVEL
            axis.axhline(half, color="#999999", linewidth=0.6, zorder=1)
            if np.isfinite(m[0]):
                axis.plot([m[0]], [half], color=look.colour, marker="|", markersize=9,
                          markeredgewidth=1.4, linestyle="none", zorder=5)
                if np.isfinite(m[1]) and np.isfinite(m[2]):
                    axis.plot(m[1:], [half, half], color=look.colour, linewidth=2.4, alpha=0.5,
                              solid_capstyle="butt", zorder=4)
        axis.annotate("50 %", (1, half), xycoords=("axes fraction", "data"), ha="right",
                      va="center", fontsize=6.5, color="#666666", zorder=6,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
        _style.scale_axis(axis, "y", medians, "1/s", bool(ctx.spec.get("logy", True)))
        _style.scale_axis(axis, "x", values, unit, bool(ctx.spec.get("logx", True)))
        axis.set_xlabel(_figure.pretty(x))
        if title:
            axis.set_title(_style.shown(title, 60))
    axes[0].set_ylabel(_figure.axis_label(drawing.data["metric"], "1/s"))
    _figure.legend(fig, list(handles.values()), list(handles), width)


if __name__ == "__main__":
    _figure.main(prepare, draw)
