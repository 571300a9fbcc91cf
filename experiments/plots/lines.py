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

import _data
import _figure
import _style


def prepare(ctx: _data.Context) -> _figure.Drawing:
    metric = ctx.metric()
    x = ctx.get("x", "arm")
    found = _data.apart(_data.cells(ctx, metric, x, ctx.get("series", "arm"), ctx.get("facet")))
    cells = sorted(found, key=lambda c: c.number) if _data.numeric(found) else found
    columns = ["panel", "series", x, "n", "median", "low", "high", "unit"]
    rows = [dict(zip(columns, (c.facet, c.series, c.x, c.n, c.median, c.low, c.high, c.unit)))
            for c in found]
    shown = [] if ctx.get("caption") or ctx.get("title") else [
        f"{_figure.pretty(metric)} against {_figure.pretty(x)}"]
    series = list(dict.fromkeys(c.series for c in found))
    return _figure.Drawing(columns, rows, shown, series, [c.n for c in found],
                           all(c.exact for c in found),
                           {"cells": cells, "metric": metric, "x": x}, table_of(found, x),
                           legend=_data.numeric(found) or series != categories(found))


def table_of(found: list[_data.Cell], x: str) -> tuple[list[str], list[list[str]]]:
    """Rows of x, one column a series: median and interval."""
    facets = list(dict.fromkeys(c.facet for c in found))
    series = list(dict.fromkeys(c.series for c in found))
    xs = list(dict.fromkeys(c.x for c in found))
    own = {(c.facet, c.series, c.x): c for c in found}
    if x in ("arm", "backend") and series == xs:
        series = [""]
        own = {(c.facet, "", c.x): c for c in found}
    rows = [([f] if len(facets) > 1 else []) + [_data.with_unit(x, v)] + [cell_text(own.get((f, s, v)))
                                                     for s in series]
            for f in facets for v in xs]
    return (["panel"] if len(facets) > 1 else []) + [x, *(s or "median" for s in series)], rows


def cell_text(c: _data.Cell | None) -> str:
    if c is None:
        return "-"
    from shuntlab.points import plain, scale_for
    scale, unit = scale_for(c.median, c.unit)
    return (f"{plain(c.median / scale, 3)} [{plain(c.low / scale, 3)}, "
            f"{plain(c.high / scale, 3)}] {unit}").strip()


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    cells = drawing.data["cells"]
    parts = list(_data.panels(cells))
    if _data.numeric(cells):
        handles = curves(fig, drawing, ctx, width, parts)
    else:
        handles = dots(fig, drawing, ctx, width, parts)
    if drawing.legend:
        _figure.legend(fig, list(handles.values()), list(handles), width)


def curves(fig, drawing, ctx, width, parts) -> dict:
    """x is a quantity: lines with a bar at each point."""
    cells, x = drawing.data["cells"], drawing.data["x"]
    values = sorted({c.number for c in cells})
    medians = [c.median for c in cells]
    logy = bool(ctx.spec.get("logy", _style.wants_log(medians)))
    logx = bool(ctx.spec.get("logx", _style.wants_log(values)))
    handles = {}
    axes = _figure.grid(fig, len(parts), width)
    for axis, (title, own) in zip(axes, parts):
        for name, line in _data.lines_of(own):
            handles[name] = axis.errorbar(
                [c.number for c in line], [c.median for c in line], errors(line), label=name,
                **drawing.looks[name].line())
        _style.scale_axis(axis, "y", medians, cells[0].unit, logy)
        _style.scale_axis(axis, "x", values, _style.unit_of(x), logx)
        if len(values) <= 6 and all(v.is_integer() for v in values):
            _style.exact_ticks(axis, "x", values, _style.unit_of(x))
        if title:
            axis.set_title(_style.shown(title, 60))
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
    fig.set_figheight(0.6 + 0.16 * len(names) * (1 if one_each else max(1, 0.55 * len(series))))
    axes = _figure.grid(fig, len(parts), width, share_x=True)
    across = axes[0].get_subplotspec().get_gridspec().ncols
    handles = {}
    for axis, (title, own) in zip(axes, parts):
        for name, line in _data.lines_of(own):
            look = drawing.looks[name].line() | {"linestyle": "none"}
            rows = [names.index(c.x) + step * (series.index(name) - (len(series) - 1) / 2)
                    for c in line]
            handles[name] = axis.errorbar([c.median for c in line], rows, xerr=errors(line),
                                          label=name, **look)
        axis.set_yticks(range(len(names)), [_style.shown(n) for n in names])
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        _style.scale_axis(axis, "x", medians, cells[0].unit, log)
        if axis not in axes[:-across]:      # those above share its axis
            axis.tick_params(axis="x", labelbottom=True)
            axis.set_xlabel(_figure.axis_label(drawing.data["metric"], cells[0].unit))
        if title:
            axis.set_title(_style.shown(title, 60))
    if not log:         # as in curves; what is worked out as a difference may be below zero
        axes[0].set_xlim(left=min(0.0, 1.05 * min(c.low for c in cells)))
    return handles


def categories(cells: list[_data.Cell]) -> list[str]:
    return list(dict.fromkeys(c.x for c in cells))


if __name__ == "__main__":
    _figure.main(prepare, draw)
