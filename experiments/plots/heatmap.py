# SPDX-License-Identifier: MIT
"""Every combination of two mechanisms as a ratio to the baseline, a panel for each of a third.

    [[figure]]
    kind = "heatmap"
    x = "wait"                  # a slot, a parameter, or "arm"
    y = "policy"
    facet = "switch"            # optional
    series = "ns_per_switch"    # the metric; default: the headline

With x = "workload" each column has the headline of its own workload, and the baseline's cells say its value.
A cell says the ratio and, from six runs on, half its 95 % interval; a cell nobody ran is hatched. The colours grow
darker one way only, so that a grey print keeps their order.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

import _data
import _figure
import _style
from shuntlab.statistics.analysis import rules_of
from shuntlab.statistics.effects import compare_paired, log_ratios
from shuntlab.statistics.points import arm_order, plain
from shuntlab.statistics.values import headline, value_of
from shuntlab.statistics.verdicts import left_out_text

KEYS = {
    "x": ("name", "a slot, a parameter, `arm` or `workload`; default: wait"),
    "y": ("name", "the same, upwards; default: policy"),
    "series": ("name", "the metric; default: the headline of the workload, with x = workload of each"),
    "facet": ("name", "a panel for each: a slot, a parameter"),
}


@dataclass
class Ratio:
    panel: str
    y: str
    x: str
    arm: str
    n: int
    ratio: float
    low: float
    high: float
    value: str = ""     # of the baseline: what the ratios of this column are to

    @property
    def half_percent(self) -> float:
        return 50 * (self.high - self.low) / self.ratio


def prepare(ctx: _data.Context) -> _figure.Drawing:
    each = ctx.get("x") == "workload" and not ctx.get("series")
    metric = ctx.metric("series")
    x, y, facet = ctx.get("x", "wait"), ctx.get("y", "policy"), ctx.get("facet")
    found: dict[tuple[str, str, str], Ratio] = {}
    label: dict[str, str] = {}      # of a column, where each has a metric of its own
    better, unit, baseline = "lower", "", ctx.campaigns[0].plan["baseline"]
    for point in ctx.points():
        baseline = point.campaign.plan["baseline"]
        if each:
            metric = headline(point.campaign, point.workload)
        for arm in ctx.arms(point):
            r = ratio_of(ctx, point, arm, baseline, metric, (x, y, facet))
            if r is None:
                continue
            key = (r.panel, r.y, r.x)
            if key in found:
                raise _data.FigureError(
                    f"two arms would be one cell: {found[key].arm} and {arm}, both {x} {r.x}, {y} "
                    f"{r.y}; name what differs as facet, or choose with where or arms")
            found[key] = r
            value = next(iter(point.values(arm, metric).values()))
            better, unit = value.better, value.unit
            if each and arm == baseline:
                median = np.median([v.number for v in point.values(arm, metric).values()])
                r.value = _style.tick(float(median), unit)
                label[r.x] = f"{r.x}\n{_figure.axis_label(metric, unit)}"
    if not found:
        raise _data.FigureError(f"no arm has both {x} and {y}, and {metric} beside the baseline")
    order = arm_order(ctx.campaigns[0])
    ratios = sorted(found.values(), key=lambda r: order.index(r.arm)) if y == "arm" else list(found.values())
    columns = ["panel", y, x, "arm", "n", "ratio", "low", "high"]
    rows = [dict(zip(columns, (r.panel, r.y, r.x, r.arm, r.n, r.ratio, r.low, r.high)))
            for r in ratios]
    side = "below 1 is better" if better == "lower" else "above 1 is better"
    many = len({r.panel for r in ratios}) > 1
    what = "The cost that each column names," if label else f"{_figure.sentence(_figure.axis_label(metric, unit))}"
    baselines = f"; the row of {baseline} has the values" if label else ""
    return _figure.Drawing(
        columns, rows, (["panel"] * many + [_figure.pretty(y), _figure.pretty(x), "ratio"],
                        [[r.panel] * many + [r.y, r.x, cell_text(r, " ")] for r in ratios]),
        [f"{what} of every {_figure.pretty(y)} with every {_figure.pretty(x)}, as "
         f"a ratio to {baseline} in the same block{baselines}; {side}; a hatched cell was not run"],
        [], [r.n for r in ratios],
        "Below each ratio stands half its exact 95 % interval" if any(r.low < r.high for r in ratios) else
        "There are too few runs for a 95 % interval", 1,
        {"ratios": ratios, "x": x, "y": y, "better": better, "label": label, "logs": np.log([r.ratio for r in ratios])},
        wide=bool(label))


def ratio_of(ctx, point, arm: str, baseline: str, metric: str, keys: tuple) -> Ratio | None:
    places = [_data.setting(point, arm, k) if k else "" for k in keys]
    if places[0] is None or places[1] is None:
        return None
    panel = _data.panel_title(ctx, point, keys[2], places[2])
    places = [_data.with_unit(point, k, v or "") for k, v in zip(keys, places)]
    n = sum(value_of(r, metric) is not None for r in point.runs[arm].values())
    if arm == baseline and n:
        return Ratio(panel, places[1], places[0], arm, n, 1.0, 1.0, 1.0)
    rules = rules_of(point.campaign)
    c = compare_paired(log_ratios(point, arm, baseline, metric), arm, baseline, False, rules)
    if c is None:
        return None
    if c.left_out:
        raise _data.FigureError(f"{arm} at {point.label}: {left_out_text(c)}")
    return Ratio(panel, places[1], places[0], arm, c.pairs, math.exp(c.estimate), math.exp(c.low),
                 math.exp(c.high))


def cell_text(r: Ratio, between: str = "\n") -> str:
    if r.value:
        return r.value
    ratio = f"{r.ratio:.2f}" if r.ratio < 10 else plain(r.ratio, 3)
    if math.isnan(r.low) or r.low == r.high == 1:
        return ratio
    return f"{ratio}{between}±{r.half_percent:.{2 if r.half_percent < 100 else 3}g} %"


PAGE = 8.4      # inches, of a column with a caption below


def panel_height(ratios: list[Ratio]) -> float:
    return 0.32 * len({r.y for r in ratios}) + (0.22 if any(r.panel for r in ratios) else 0.05)


def pages(drawing: _figure.Drawing, width: float) -> list[_figure.Drawing]:
    """As many rows of panels as a page takes."""
    ratios = drawing.data["ratios"]
    titles = list(dict.fromkeys(r.panel for r in ratios))
    across = min(len(titles), 1 if width < 5 else 3)
    many = across * max(1, int((PAGE - 0.5) / panel_height(ratios)))
    return [dataclasses.replace(drawing, data={**drawing.data, "ratios": [
        r for r in ratios if r.panel in titles[at:at + many]]})
        for at in range(0, len(titles), many)]


def draw(fig, drawing: _figure.Drawing, ctx: _data.Context, width: float) -> None:
    ratios = drawing.data["ratios"]
    titles = list(dict.fromkeys(r.panel for r in ratios))
    xs, ys = (list(dict.fromkeys(getattr(r, k) for r in ratios)) for k in "xy")
    across = min(len(titles), 1 if width < 5 else 3)
    down = -(-len(titles) // across)
    fig.set_figheight(down * panel_height(ratios) + 0.5)
    axes = [a for row in fig.subplots(down, across, squeeze=False) for a in row]
    for spare in axes[len(titles):]:
        spare.set_visible(False)
    logs = drawing.data["logs"]
    top = max(0.05, float(np.max(np.abs(logs))))
    colours = _style.matplotlib.colormaps["cividis_r" if drawing.data["better"] == "lower"
                                          else "cividis"]
    low, high = (float(logs.min()), float(logs.max())) if np.ptp(logs) > 0 else (-top, top)
    image = None
    for axis, title in zip(axes, titles):
        own = {(r.y, r.x): r for r in ratios if r.panel == title}
        grid = np.array([[math.log(own[y, x].ratio) if (y, x) in own else np.nan for x in xs]
                         for y in ys])
        image = axis.imshow(np.ma.masked_invalid(grid), cmap=colours, vmin=low, vmax=high,
                            aspect="auto")
        axis.patch.set(hatch="////", edgecolor="#BBBBBB", facecolor="white")
        label_cells(axis, own, xs, ys, colours, low, high, width / across / len(xs))
        labels = drawing.data["label"]
        axis.set_xticks(range(len(xs)), [labels[x] if x in labels else _style.shown(x, 14) for x in xs],
                        rotation=90 if labels and width < 5 else 0)
        axis.set_yticks(range(len(ys)), [_style.shown(y, 20) for y in ys])
        axis.tick_params(length=0)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.set_title(_style.shown(title, 60))
        axis.set_ylabel(_figure.pretty(drawing.data["y"]))
    for axis in axes[max(0, len(titles) - across):len(titles)]:
        axis.set_xlabel(_figure.pretty(drawing.data["x"]))
    bar = fig.colorbar(image, ax=axes[:len(titles)], pad=0.02, fraction=0.05, aspect=24)
    places, texts = scale_ticks(low, high)
    bar.set_ticks(places, labels=texts)
    bar.outline.set_visible(False)


_NICE = [m * 10.0 ** e for e in range(-4, 6) for m in (1, 1.2, 1.5, 2, 3, 5, 7)]


def scale_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """A few round ratios between two logarithms."""
    inside = [r for r in _NICE if low <= math.log(r) <= high]
    few = inside if len(inside) <= 6 else [r for r in inside if f"{r:e}"[0] in "125"
                                           and "1.2" not in f"{r:e}"]
    few = few if 0 < len(few) <= 8 else few[::2] or [math.exp(low), math.exp(high)]
    return [math.log(r) for r in few], [f"{plain(r, 3)}×" for r in few]


def label_cells(axis, own: dict, xs: list[str], ys: list[str], colours, low: float, high: float,
                room: float) -> None:
    size = 6.5 if room > 0.42 else 5.2
    for (y, x), r in own.items():
        red, green, blue, _ = colours((math.log(r.ratio) - low) / max(1e-9, high - low))
        dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45
        axis.text(xs.index(x), ys.index(y), cell_text(r), ha="center", va="center", fontsize=size,
                  color="white" if dark else "black", linespacing=1.05)
