# SPDX-License-Identifier: MIT
"""Latency against offered load, and the highest load that keeps an objective.

    [[figure]]
    kind = "load"
    x = "load"                  # default: the offered load, in processors
    y = "slowdown_p99"          # what must stay low
    series = "arm"
    facet = "service"           # a panel a distribution
    slo = "100us"               # optional: the objective, in y's unit; a line, and a table of numbers
    theory = ["fcfs", "ps"]     # optional: what queueing theory says of a mean, or of M/M/1's quantiles;
                                # "exact": what the runs' own arrivals give first come, first served

Theory is of the steady state, from which a run of some thousand requests is far; "exact" is of the same
arrivals and services as measured, without a scheduler: the median of `exact_<y>` over the runs.

The highest load under the objective is shuntlab/statistics/objective.py's; `lab claims` prints it too.
"""

from __future__ import annotations

import itertools
import re

import numpy as np

import _axes
import _data
import _figure
import _style
import _table
from shuntlab.statistics import objective, theory

SYSTEMS = {"fcfs": "M/{}/{} FCFS", "ps": "M/G/{1} PS"}     # of sharing only the mean service matters
KINDS = {"exponential": "M", "fixed": "D"}                  # any other service is general: G
EXACT = "exact"
CUT = 1.6       # times the highest median: what an interval may ask of a linear axis

KEYS = {
    "x": ("name", "the offered load, a parameter; default: load"),
    "y": ("name", "the latency that must stay low; default: the headline of the workload"),
    "series": ("name", "a line for each: `arm` (default), a parameter, a slot"),
    "facet": ("name", "a panel for each: a parameter, a slot"),
    "slo": ("objective", "a value of y: draws a line, and a table of the highest loads below it"),
    "theory": ("systems", "fcfs, fcfs-2, ps: queueing theory's mean, or M/M/1's quantiles; exact: FCFS of "
                          "the runs' own arrivals; or a list"),
    "logy": ("flag", "default: as the values need"),
}


# ---- theory -------------------------------------------------------------------------------------

def expected(system: str, servers: int, metric: str, load: float, params: dict[str, str]) -> float:
    """What theory says of a metric of `openloop` at a load; FigureError where it says nothing."""
    if params.get("process", "poisson") != "poisson" or params.get("input"):
        raise _data.FigureError("theory is of Poisson arrivals: these are a trace, or at equal distances")
    mean, law = float(params["mean"]), params["service"]
    squared = theory.c2(law, float(params.get("sigma") or 1))
    quantile = re.fullmatch(r"response_p(\d+)_ns", metric)
    if system == "ps" and servers == 1 and metric == "response_mean_ns":
        return theory.response_ps(load, mean)
    if system == "fcfs" and metric in ("queueing_mean_ns", "response_mean_ns"):
        own = mean if metric.startswith("response") else 0.0
        if servers == 1:
            return own + theory.wait_mg1(load, mean, squared)
        if law == "exponential":
            return own + theory.wait_mmk(servers, load, mean)
    if system == "fcfs" and servers == 1 and law == "exponential" and quantile:
        return theory.response_quantile_mm1(load, mean, int(quantile[1]) / 10 ** len(quantile[1]))
    raise _data.FigureError(f"theory has no formula of {metric} under {system} with {servers} "
                            f"workers and {law} service")


def theory_lines(ctx: _data.Context, metric: str, own: list[_data.Cell]) -> dict[str, list]:
    """Name -> (loads, values), for one panel."""
    drawn: dict[str, list] = {}
    wanted = ctx.spec.get("theory") or []
    record = next(iter(own[0].point.runs[own[0].arm].values()))
    params = record["identity"]["params"]
    for word in [wanted] if isinstance(wanted, str) else wanted:
        if word == EXACT:
            drawn |= exact_lines(metric, own)
            continue
        system, _, count = str(word).partition("-")
        if system not in SYSTEMS or not (count or "1").isdigit():
            raise _data.FigureError(f"theory = {word!r}: exact, fcfs, ps, or fcfs-2 for two workers")
        servers = int(count or 1)
        most = min(max(c.number for c in own), 0.98 * servers)
        loads = np.linspace(min(c.number for c in own), most, 60)
        drawn[SYSTEMS[system].format(KINDS.get(params["service"], "G"), servers)] = [
            loads, [expected(system, servers, metric, float(v), params) for v in loads]]
    return drawn


def exact_lines(metric: str, own: list[_data.Cell]) -> dict[str, list]:
    """Name -> (loads, medians over the runs), a line for each number of servers in a panel.

    The arms of a block have the same arrivals, and so one value."""
    found: dict[str, dict[float, dict[str, float]]] = {}
    for cell in own:
        for block, record in cell.point.runs[cell.arm].items():
            value = record["metrics"].get(f"{EXACT}_{metric}")
            if value is not None:
                at = found.setdefault(_servers(record["facts"]), {}).setdefault(cell.number, {})
                at[block] = float(value["value"])
    if not found:
        raise _data.FigureError(
            f"theory = {EXACT!r}: no run has the metric {EXACT}_{metric}. Records of openloop have it "
            "of means and quantiles where requests are served first come, first served")
    return {name: [sorted(at), [float(np.median(list(at[x].values()))) for x in sorted(at)]]
            for name, at in sorted(found.items())}


def _servers(facts: dict[str, str]) -> str:
    servers, queues = (facts.get(f"exact.{k}", "1") for k in ("servers", "queues"))
    apart = "" if queues == "1" else ", a queue each"
    return f"exact FCFS, {servers} worker{'s' * (servers != '1')}{apart}"


# ---- the figure ---------------------------------------------------------------------------------

def prepare(ctx: _data.Context) -> _figure.Drawing:
    metric, x = ctx.metric(), ctx.get("x", "load")
    found = _data.cells(ctx, metric, x, ctx.get("series", "arm"), ctx.get("facet"))
    if not _data.numeric(found) or found[0].better != "lower":
        raise _data.FigureError(f"needs a numeric x and a latency for y, not {x} and {metric}")
    try:
        slo = objective.limit(ctx.get("slo"), found[0].unit)
    except objective.ObjectiveError as e:
        raise _data.FigureError(str(e)) from None
    panels = [(title, own, theory_lines(ctx, metric, own)) for title, own in _data.panels(found)]
    columns = ["panel", "series", x, "n", "median", "low", "high", "highest", "highest_low",
               "highest_high", "unit"]
    rows, kept, most = [], {}, {}
    for title, own, drawn in panels:
        for name, line in _data.lines_of(own):
            values = objective.counting([(c.number, c.values) for c in line])
            keeps = objective.highest(values, slo, name) if slo else ("",) * 3
            most[title, name] = keeps
            three = (*keeps, "", "")[:3]
            rows += [dict(zip(columns, (title, name, c.x, c.n, c.median, c.low, c.high, *three,
                                        c.unit))) for c in line]
            if slo:
                kept[title, name, f"highest {_figure.pretty(x)}"] = _table.Entry(
                    text=objective.highest_text(keeps, [load for load, _ in values]),
                    n=min(len(runs) for _, runs in values))
        rows += [dict(zip(columns, (title, name, float(at), "", float(v), "", "", "", "", "",
                                    own[0].unit)))
                 for name, (loads, values) in drawn.items() for at, v in zip(loads, values)]
    label = _figure.sentence(_figure.axis_label(metric, found[0].unit))
    said = [f"{label} against {'offered load' if x == 'load' else _figure.pretty(x)}"]
    if slo:
        said.append(f"The horizontal line is the objective, {_style.tick(slo, found[0].unit)}; "
                    "the ticks on it mark the highest load that keeps it, with its interval")
    said += _said_of({name for _, _, drawn in panels for name in drawn})
    seen = [slo] * bool(slo) + [v for _, _, drawn in panels for name, (_, values) in drawn.items()
                                if name.startswith(EXACT) for v in values]
    log, frame = frame_of(found, seen, ctx)
    if any(c.high > frame[1] or c.low < frame[0] for c in found):
        said.append("Intervals that leave the frame go on")
    places, moved = _axes.set_apart([
        {n: [(c.number, c.median, c.low, c.high) for c in line] for n, line in _data.lines_of(own)}
        for _, own, _ in panels], False, log)
    said += [_axes.MOVED] * moved
    return _figure.Drawing(
        columns, rows, _table.of_cells(found, x, ctx.get("series", "arm"), kept), said,
        list(dict.fromkeys(c.series for c in found)), [c.n for c in found], _figure.bars_of(found),
        len(panels), {"panels": panels, "places": places, "x": x, "metric": metric, "slo": slo,
                      "most": most, "unit": found[0].unit, "log": log, "frame": frame})


def _said_of(names: set[str]) -> list[str]:
    exact = {name for name in names if name.startswith(EXACT)}
    said = ["Thin grey lines named exact are of the same arrivals, served first come, first served "
            "without a scheduler: medians over the runs"] * bool(exact)
    lines = "The other thin grey lines" if exact else "Thin grey lines"
    return said + [f"{lines} are queueing theory's, without any overhead"] * bool(names - exact)


def frame_of(found: list[_data.Cell], seen: list[float],
             ctx: _data.Context) -> tuple[bool, tuple[float, float]]:
    """Whether y is logarithmic, and its ends: a few runs must not press all others to the ground, and
    what must be `seen` is in sight: the objective, and what is exact."""
    medians, high = [c.median for c in found] + seen, max(c.high for c in found)
    if ctx.spec.get("logy", _style.wants_log(medians)):
        low = min(c.low for c in found)
        return True, (min(min(medians), max(low, min(medians) / 10)) / 1.3,
                      max(max(medians), min(high, 10 * max(medians))) * 1.3)
    return False, (0, max(max(medians), min(high, CUT * max(medians))) * 1.1)


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    panels, unit, slo = (drawing.data[k] for k in ("panels", "unit", "slo"))
    axes = _axes.grid(fig, len(panels), width)
    medians = [c.median for _, own, _ in panels for c in own]
    log = drawing.data["log"]
    handles: dict[str, object] = {}
    lines = dict.fromkeys(name for _, _, drawn in panels for name in drawn)
    dashes = dict(zip(lines, itertools.cycle(_style.DASHES)))
    for axis, (title, _, drawn), places in zip(axes, panels, drawing.data["places"]):
        for name, (loads, values) in drawn.items():
            handles[name], = axis.plot(loads, values, color="#8A8A8A", linewidth=0.8,
                                       linestyle=dashes[name], zorder=1.5)
        for name, line in places.items():
            handles[name] = _axes.points(axis, line, drawing.looks[name])
            if slo:
                mark(axis, drawing.data["most"][title, name], slo, drawing.looks[name].colour)
        if slo:
            axis.axhline(slo, color="#666666", linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=1)
        _style.scale_axis(axis, "y", medians + ([slo] if slo else []), unit, log)
        axis.set_ylim(*drawing.data["frame"])
        if title:
            axis.set_title(_style.shown(title, 60))
    _style.scale_axis(axes[0], "x", [c.number for _, own, _ in panels for c in own], "1", False)
    for axis in _axes.bottom(axes):
        axis.set_xlabel("offered load [processors]" if drawing.data["x"] == "load"
                        else _figure.pretty(drawing.data["x"]))
    for axis in _axes.right(axes) if slo else []:
        _axes.beside(axis, slo, _style.tick(slo, unit))
    axes[0].set_ylabel(_figure.axis_label(drawing.data["metric"], unit))
    order = [*drawing.series, *(n for n in handles if n not in drawing.series)]
    _figure.legend(fig, [handles[n] for n in order], order, width)


def mark(axis, keeps: tuple[float, ...], slo: float, colour: str) -> None:
    if not np.isfinite(keeps[0]):
        return
    axis.plot([keeps[0]], [slo], color=colour, marker="|", markersize=8, markeredgewidth=1.4,
              linestyle="none", zorder=5)
    if len(keeps) > 1 and np.isfinite(keeps[1:]).all():
        axis.plot(keeps[1:], [slo, slo], color=colour, linewidth=2.4, alpha=0.5,
                  solid_capstyle="butt", zorder=4)
