# SPDX-License-Identifier: MIT
"""How often a latency is exceeded: the tail of a series, pooled over the processes.

    [[figure]]
    kind = "ccdf"
    y = "lateness"              # the series
    facet = "tasks"             # optional

A curve ends where too few samples lie beyond to say more. Bars at p50, p90, p99 and p99.9 are
bootstrap intervals that draw whole processes; from fewer than six processes there are none.
"""

from __future__ import annotations

import zlib

import numpy as np

import _axes
import _data
import _figure
import _style
import _table
from shuntlab.data import records as rec
from shuntlab.statistics import stats

QUANTILES = (0.5, 0.9, 0.99, 0.999)

KEYS = {
    "y": ("name", "the series of latencies; required"),
    "series": ("name", "a curve for each: `arm` (default), a parameter, a slot"),
    "facet": ("name", "a panel for each: a parameter, a slot, workload"),
    "logx": ("flag", "default: as the values need"),
}


class Curve:
    """One arm at one point: its pooled histogram, its tail and the marked quantiles.

    Records of 2 and of 3 significant digits are pooled in buckets of 2."""

    def __init__(self, panel: str, series: str, many: list[dict]):
        self.panel, self.series, self.n = panel, series, len(many)
        pooled = rec.pool(many)
        self.count, self.unit = pooled["count"], pooled["unit"]
        digits = self.digits = pooled["digits"]
        index = {i: k for k, (i, _) in enumerate(pooled["buckets"])}
        self.values = np.array([float(rec.hist_value(i, digits)) for i in index])
        counts = np.zeros((len(many), len(index)))
        for row, one in enumerate(many):
            for i, n in rec.coarsen(one, digits)["buckets"]:
                counts[row, index[i]] = n
        self.qs = [q for q in QUANTILES if rec.enough_samples(self.count, q)]
        self.points = stats.pooled_quantiles(counts.sum(axis=0), self.values, self.qs)
        seed = zlib.crc32(f"{panel}/{series}".encode())
        self.bars = stats.bootstrap_quantiles(counts, self.values, self.qs, seed=seed) \
            if self.n >= stats.LEAST else np.stack([self.points] * 2, axis=-1)
        beyond = self.count - np.cumsum(counts.sum(axis=0))
        keep = beyond >= -np.log(0.025)         # as enough_samples: 3.7 samples lie beyond
        self.x, self.y = thin(self.values[keep], beyond[keep] / self.count)


def thin(x: np.ndarray, y: np.ndarray, most: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """As many steps of a curve as the eye sees: evenly apart in the logarithm of y."""
    if len(x) <= most:
        return x, y
    steps = np.round((most - 1) * np.log(y / y[0]) / np.log(y[-1] / y[0]))
    first = np.unique(steps, return_index=True)[1]
    return x[first], y[first]


def prepare(ctx: _data.Context) -> _figure.Drawing:
    series = ctx.get("y")
    found: dict[tuple[str, str], Curve] = {}
    for point in ctx.points():
        for arm in ctx.arms(point):
            many = [r["series"][series] for r in point.runs[arm].values()
                    if r["series"].get(series, {}).get("count")]
            if many:
                add(ctx, found, point, arm, many)
    if not found:
        raise _data.FigureError(f"no run has a series {series!r}; it is named by y")
    curves = list(found.values())
    columns = ["panel", "series", "processes", "samples", "quantile", "value", "low", "high",
               "unit"]
    rows = [dict(zip(columns, (c.panel, c.series, c.n, c.count, q, float(v),
                               *(b.tolist() if c.n >= stats.LEAST else ("", "")), c.unit)))
            for c in curves for q, v, b in zip(c.qs, c.points, c.bars)]
    rows += [dict(zip(columns, (c.panel, c.series, c.n, c.count, 1 - float(y), float(x), "", "",
                                c.unit))) for c in curves for x, y in zip(c.x, c.y)]
    shown = [] if ctx.get("caption") else [f"Share of {_figure.pretty(series)} samples beyond a value"]
    samples = [c.count for c in curves]
    coarse = ["Values are upper ends of buckets at most 0.8 % wide"] \
        if any(c.digits == 2 for c in curves) else []
    return _figure.Drawing(
        columns, rows, table_of(curves), [*shown, f"{_figure.span(samples)} samples a curve", *coarse],
        list(dict.fromkeys(c.series for c in curves)), [c.n for c in curves],
        about_bars([c.n for c in curves]), len({c.panel for c in curves}), {"curves": curves, "series": series})


def about_bars(processes: list[int]) -> str:
    """What the bars are; how far to trust them is simulated in test/lab_stats.py."""
    drawn = [n for n in processes if n >= stats.LEAST]
    some = "Bars are left out: a bootstrap needs six processes" if not drawn else (
        "Bars at p50, p90, p99 and p99.9 are 95 % bootstrap intervals over whole processes")
    if drawn and len(drawn) < len(processes):
        some += ", left out below six"
    if drawn and min(drawn) < 20:
        some += "; from fewer than 20 they are narrow (from six they hold 9 times in 10)"
    return some


def add(ctx, found: dict, point, arm: str, many: list[dict]) -> None:
    series, facet = ctx.get("series", "arm"), ctx.get("facet")
    places = {k: _data.setting(point, arm, k) for k in (series, facet) if k}
    panel = _data.panel_title(ctx, point, facet, places.get(facet))
    key = (panel, _data.series_name(point, series, places[series] or ""))
    if key in found:
        raise _data.FigureError(f"two points would be one curve: {point.label} and another, both "
                                f"{key[1]}; name what differs as facet, or choose with where")
    found[key] = Curve(*key, many)


def table_of(curves: list[Curve]) -> _table.Table:
    found = {(c.panel, c.series, f"p{100 * q:g}"): _table.Entry(float(v), float(low), float(high), c.unit, c.n)
             for c in curves for q, v, (low, high) in zip(c.qs, c.points, c.bars)}
    return _table.lay_out(found, "quantile", "arm", str)


def share(value: float, least: float) -> str:
    """1, 0.1, 0.01, 0.001; powers of ten where there are smaller ones."""
    if least >= 0.0009 or value >= 0.999:
        return f"{value:g}"
    return "10" + f"{np.log10(value):.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def frame_of(curves: list[Curve]) -> tuple[float, float, float]:
    """The ends of x, with every marked quantile inside, and the lower end of y."""
    drawn = np.concatenate([c.x[c.x > 0] for c in curves])
    marks = np.concatenate([np.append(c.bars[:, 0], c.points) for c in curves])
    low = min(float(np.quantile(drawn, 0.02)), float(np.min(marks[marks > 0], initial=np.inf)))
    high = max(float(drawn.max()), *(float(np.max(c.bars, initial=0)) for c in curves))
    return low, high, min(min(float(c.y.min()), *(1 - q for q in c.qs)) for c in curves)


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    curves = drawing.data["curves"]
    titles = list(dict.fromkeys(c.panel for c in curves))
    axes = _axes.grid(fig, len(titles), width)
    handles = {}
    low, high, least = frame_of(curves)
    log = bool(ctx.spec.get("logx", _style.wants_log([low, high])))
    for axis, title in zip(axes, titles):
        for c in (c for c in curves if c.panel == title):
            look = drawing.looks[c.series]
            axis.plot(c.x, c.y, color=look.colour, linestyle=look.dash, drawstyle="steps-post")
            handles[c.series] = axis.errorbar(
                c.points, [1 - q for q in c.qs],
                xerr=[c.points - c.bars[:, 0], c.bars[:, 1] - c.points] if c.n >= stats.LEAST else None,
                **(look.line() | {"linestyle": "none"}))
            handles[c.series][0].set_clip_on(False)
        axis.set_yscale("log")
        axis.set_ylim(least * 0.7, 1.3)
        axis.yaxis.set_major_locator(_style.LogLocator(10, numticks=8))
        axis.yaxis.set_major_formatter(_style.FuncFormatter(lambda v, _: share(v, least)))
        axis.yaxis.set_minor_formatter(_style.NullFormatter())
        _style.scale_axis(axis, "x", [low, high], curves[0].unit, log)
        axis.set_xlim(low / 1.1 if log else 0, high * (1.1 if log else 1.02))
        if title:
            axis.set_title(_style.shown(title, 60))
    for axis in _axes.bottom(axes):
        axis.set_xlabel(_figure.pretty(drawing.data["series"]))
    axes[0].set_ylabel("share beyond")
    keys = [axes[0].plot([], [], **drawing.looks[s].line())[0] for s in handles]
    _figure.legend(fig, keys, list(handles), width)
