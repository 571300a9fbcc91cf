# SPDX-License-Identifier: MIT
"""How far an arm is from the baseline, by how large the value is: a model against what it models.

    [[figure]]
    kind = "parity"
    y = ["response_mean_ns", "response_p99_ns"]     # default: every metric that the experiment names
    arms = ["virtual"]                              # optional

A point is one arm at one point in one metric. Across stands the baseline's median, upwards the signed error in
percent, paired within blocks; a perfect model lies on zero. All metrics of a figure have one unit. There is no line
of 45 degrees: on its axes, which span decades, an error of a tenth could not be seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import _axes
import _data
import _figure
import _style
from shuntlab.statistics.analysis import rules_of
from shuntlab.statistics.effects import compare_paired, log_ratios
from shuntlab.statistics.verdicts import left_out_text

KEYS = {
    "y": ("names", "the metrics, of one unit; default: every metric that the experiment names"),
}


@dataclass
class Error:
    point: str
    arm: str
    metric: str
    unit: str
    pairs: int
    of: float               # the baseline's median
    percent: float
    low: float
    high: float


def prepare(ctx: _data.Context) -> _figure.Drawing:
    plan = ctx.campaigns[0].plan
    metrics = ctx.spec.get("y") or plan["metrics"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    errors = [e for metric in metrics for point in ctx.points() for arm in ctx.arms(point)
              if arm != point.campaign.plan["baseline"] and (e := error_of(point, arm, metric))]
    if not errors:
        raise _data.FigureError(f"no arm has {' or '.join(metrics)} beside the baseline")
    units = sorted({e.unit for e in errors})
    if len(units) > 1:
        raise _data.FigureError(f"the metrics have the units {', '.join(units)}; choose those of one unit with y")
    columns = ["point", "arm", "metric", "unit", "pairs", "baseline", "error_percent", "low", "high"]
    rows = [dict(zip(columns, (e.point, e.arm, e.metric, e.unit, e.pairs, e.of, e.percent, e.low, e.high)))
            for e in errors]
    table = (["point", "metric", plan["baseline"], "error"], [
        [e.point, _figure.pretty(e.metric), _style.tick(e.of, e.unit), f"{e.percent:+.1f} %"] for e in errors])
    several = len({e.arm for e in errors}) > 1
    lines: dict[str, list[_axes.Place]] = {}
    for e in errors:
        name = _figure.axis_label(e.metric, e.unit) + f", {e.arm}" * several
        lines.setdefault(name, []).append((e.of, e.percent, e.low, e.high))
    median = float(np.median([abs(e.percent) for e in errors]))
    return _figure.Drawing(
        columns, rows, table,
        [f"Signed error to {plan['baseline']}, by the value of {plan['baseline']}; half of the "
         f"{len(errors)} points lie within {median:.1f} %"],
        list(lines), [e.pairs for e in errors],
        "Bars are exact 95 % Hodges-Lehmann intervals" if any(e.low < e.high for e in errors) else
        "There are too few runs for a 95 % interval", 1,
        {"lines": lines, "unit": units[0], "baseline": plan["baseline"]})


def error_of(point, arm: str, metric: str) -> Error | None:
    baseline = point.campaign.plan["baseline"]
    c = compare_paired(log_ratios(point, arm, baseline, metric), arm, baseline, False, rules_of(point.campaign))
    if c is None:
        return None
    if c.left_out:
        raise _data.FigureError(f"{arm} at {point.label}: {left_out_text(c)}")
    values = list(point.values(baseline, metric).values())
    percent, low, high = (100 * math.expm1(v) for v in (c.estimate, c.low, c.high))
    if math.isnan(low):
        low = high = percent
    return Error(point.label, arm, metric, values[0].unit, c.pairs, float(np.median([v.number for v in values])),
                 percent, low, high)


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    axis = fig.subplots()
    lines, unit, baseline = (drawing.data[k] for k in ("lines", "unit", "baseline"))
    handles = [_axes.points(axis, sorted(line), drawing.looks[name], linestyle="none")
               for name, line in lines.items()]
    axis.axhline(0, color="#888888", linewidth=0.6, zorder=1)
    values = [place[0] for line in lines.values() for place in line]
    _style.scale_axis(axis, "x", values, unit, _style.wants_log(values))
    axis.set_xlabel(baseline)
    axis.set_ylabel("error [%]")
    _figure.legend(fig, handles, list(lines), width)
