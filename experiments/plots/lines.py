# SPDX-License-Identifier: MIT
"""Any metric against any parameter: one line a series, one panel a facet.

    [[figure]]
    kind = "lines"
    x = "tasks"                 # a swept parameter, or "arm" for a dot a backend
    y = "ns_per_switch"         # default: the headline metric
    series = "arm"              # default; or a parameter, a slot
    facet = "switches"          # optional; machines are always panels of their own
    logx = true                 # default: as the values need
"""

from __future__ import annotations

import _axes
import _data
import _figure
import _style
import _table

KEYS = {
    "x": ("name", "a parameter: lines; `arm` (default): a row for each arm"),
    "y": ("name", "the metric; default: the headline of the workload"),
    "series": ("name", "a line for each: `arm` (default), a parameter, a slot"),
    "facet": ("name", "a panel for each: a parameter, a slot, workload; machines have their own"),
    "logx": ("flag", "default: as the values need"),
    "logy": ("flag", "default: as the values need"),
}


def prepare(ctx: _data.Context) -> _figure.Drawing:
    metric = ctx.metric()
    x, series = ctx.get("x", "arm"), ctx.get("series", "arm")
    found = _data.apart(_data.cells(ctx, metric, x, series, ctx.get("facet")))
    cells = sorted(found, key=lambda c: c.number) if _data.numeric(found) else found
    columns = ["panel", "series", x, "n", "median", "low", "high", "unit"]
    rows = [dict(zip(columns, (c.facet, c.series, c.x, c.n, c.median, c.low, c.high, c.unit)))
            for c in found]
    label = _figure.sentence(_figure.axis_label(metric, found[0].unit))
    shown = [] if ctx.get("caption") or ctx.get("title") else [
        f"{label} against {_figure.pretty(x)}" if _data.numeric(found) else
        f"{label} of each {_figure.pretty(x)}"]
    names = list(dict.fromkeys(c.series for c in found))
    data = {"cells": cells, "metric": metric, "x": x}
    if _data.numeric(found):
        data["logy"] = bool(ctx.spec.get("logy", _style.wants_log(c.median for c in cells)))
        data["logx"] = bool(ctx.spec.get("logx", _style.wants_log_steps(c.number for c in cells)))
        data["places"], moved = _axes.set_apart([
            {n: [(c.number, c.median, c.low, c.high) for c in line] for n, line in _data.lines_of(own)}
            for _, own in _data.panels(cells)], data["logx"], data["logy"])
        shown += [_axes.MOVED] * moved
    return _figure.Drawing(
        columns, rows, _table.of_cells(cells, x, series), shown, names, [c.n for c in found],
        _figure.bars_of(found), len(list(_data.panels(found))) if _data.numeric(found) else 1, data,
        legend=_data.numeric(found) or names != categories(found))


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    parts = list(_data.panels(drawing.data["cells"]))
    if "places" in drawing.data:
        handles = curves(fig, drawing, width, parts)
    else:
        handles = dots(fig, drawing, ctx, width, parts)
    if drawing.legend:
        _figure.legend(fig, list(handles.values()), list(handles), width)


def curves(fig, drawing, width, parts) -> dict:
    """x is a quantity: lines with a bar at each point."""
    cells, x, logx, logy = (drawing.data[k] for k in ("cells", "x", "logx", "logy"))
    values = sorted({c.number for c in cells})
    handles = {}
    axes = _axes.grid(fig, len(parts), width)
    for axis, (title, _), places in zip(axes, parts, drawing.data["places"]):
        for name, line in places.items():
            handles[name] = _axes.points(axis, line, drawing.looks[name], name)
        _style.scale_axis(axis, "y", [c.median for c in cells], cells[0].unit, logy)
        _style.scale_axis(axis, "x", values, _data.unit_of(cells[0].point, x), logx)
        if len(values) <= 6 and all(v.is_integer() for v in values):
            _style.exact_ticks(axis, "x", values, _data.unit_of(cells[0].point, x))
        if title:
            axis.set_title(_style.shown(title, 60))
    for axis in _axes.bottom(axes):
        axis.set_xlabel(_figure.pretty(x))
    if not logy:        # after all are drawn: it fixes the other end too, and they share the axis
        axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel(_figure.axis_label(drawing.data["metric"], cells[0].unit))
    return handles


def errors(line: list[_data.Cell]) -> list[list[float]]:
    return [[c.median - c.low for c in line], [c.high - c.median for c in line]]


def dots(fig, drawing, ctx, width, parts) -> dict:
    """x is a name: a row for each, so that long names can be read."""
    cells = drawing.data["cells"]
    names, series = categories(cells), list(dict.fromkeys(c.series for c in cells))
    medians = [c.median for c in cells]
    log = bool(ctx.spec.get("logy", _style.wants_log(medians)))
    one_each = series == names
    step = 0 if one_each else 0.6 / max(1, len(series))
    height = (0.6 + 0.16 * len(names) * (1 if one_each else max(1, 0.55 * len(series))))
    fig.set_figheight(height)
    axes = _axes.grid(fig, len(parts), width)
    if len(parts) > 1:      # grid's height is for curves
        down = -(-len(parts) // _axes.across_of(len(parts), width))
        fig.set_figheight(height + (down - 1) * (height - 0.2))
    handles = {}
    for axis, (title, own) in zip(axes, parts):
        for name, line in _data.lines_of(own):
            look = drawing.looks[name].line() | {"linestyle": "none"}
            rows = [names.index(c.x) + step * (series.index(name) - (len(series) - 1) / 2)
                    for c in line]
            handles[name] = axis.errorbar([c.median for c in line], rows, xerr=errors(line),
                                          label=name, **look)
            handles[name][0].set_clip_on(False)
        axis.set_yticks(range(len(names)), [_style.shown(n) for n in names])
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        _style.scale_axis(axis, "x", medians, cells[0].unit, log)
        if title:
            axis.set_title(_style.shown(title, 60))
    for axis in _axes.bottom(axes):
        axis.set_xlabel(_figure.axis_label(drawing.data["metric"], cells[0].unit))
    if not log:         # as in curves; what is worked out as a difference may be below zero
        axes[0].set_xlim(left=min(0.0, 1.05 * min(c.low for c in cells)))
    return handles


def categories(cells: list[_data.Cell]) -> list[str]:
    return list(dict.fromkeys(c.x for c in cells))
