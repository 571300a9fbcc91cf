# SPDX-License-Identifier: MIT
"""The effect of one arm over another, and what the runs of one point show in one metric."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from . import stats
from .disturbance import reason_class
from .points import Point, arm_order
from .values import Value
from .verdicts import MISSED, Comparison, Control, Rules, deviation, judge_control, spread_of


@dataclasses.dataclass
class Summary:
    """One arm at one point: the middle of its runs, and which of them are outliers."""
    arm: str
    n: int
    median: float
    low: float | None           # order-statistic interval; None: too few runs for one
    high: float | None
    outliers: list[str]         # run ids, flagged and kept
    lost: dict[str, int]        # status, or "invalid" -> runs without a value


@dataclasses.dataclass
class Section:
    """One metric at one point."""
    point: Point
    metric: str
    unit: str
    better: str
    summaries: list[Summary]
    comparisons: list[Comparison]
    control: Control | None

    def of(self, arm: str) -> Comparison | None:
        return next((c for c in self.comparisons if c.arm == arm), None)

    @property
    def missed(self) -> bool:
        return self.control is not None and self.control.state == "missed"


@dataclasses.dataclass
class Ratios:
    """Logarithms of ratios, in the order of the blocks, and the pairs that have none."""
    d: np.ndarray
    left_out: int
    nodes: list[str] = dataclasses.field(default_factory=list)      # of each ratio, the machine it is of


def in_order(blocks: dict[str, Value]) -> list[str]:
    """Blocks as they were run: b9999 comes before b10000."""
    return sorted(blocks, key=lambda b: (len(b), b))


def log_ratios(point: Point, arm: str, over: str, metric: str) -> Ratios:
    """One logarithm a block in which both arms have a value on one machine; it needs both to be positive."""
    a, b = point.values(arm, metric), point.values(over, metric)
    both = [k for k in in_order(a) if k in b and point.node(arm, k) == point.node(over, k)]
    sound = [k for k in both if a[k].number > 0 and b[k].number > 0]
    found = _ratios([stats.log_ratio(a[k].number, b[k].number) for k in sound], len(both))
    found.nodes = [point.node(arm, k) for k in sound]
    return found


def logs(point: Point, arm: str, metric: str) -> Ratios:
    """The logarithm of each run."""
    values = [v.number for v in point.values(arm, metric).values()]
    return _ratios([math.log(v) for v in values if v > 0], len(values))


def _ratios(found: list[float], asked: int) -> Ratios:
    return Ratios(np.array(found), asked - len(found))


def compare_paired(r: Ratios, arm: str, over: str, is_control: bool,
                   rules: Rules) -> Comparison | None:
    if len(r.d) == 0:
        return _no_ratio(r.left_out, arm, over, is_control, "paired")
    c = _comparison(stats.paired(r.d, rules.alpha), deviation(r.d), arm, over, is_control,
                    "paired", r.left_out, stats.tails_of(r.d))
    c.p_serial = stats.serial_p(r.d)
    c.by_node = {node: r.d[[n == node for n in r.nodes]] for node in sorted(set(r.nodes))}
    return c


def compare_unpaired(x: Ratios, y: Ratios, arm: str, over: str, rules: Rules,
                     is_control: bool = False) -> Comparison | None:
    """x and y are logarithms of independent runs."""
    left_out = x.left_out + y.left_out
    if len(x.d) == 0 or len(y.d) == 0:
        return _no_ratio(left_out, arm, over, is_control, "unpaired")
    # Two independent spreads add up; one "pair" is a run of each.
    return _comparison(stats.unpaired(x.d, y.d, rules.alpha),
                       math.hypot(deviation(x.d), deviation(y.d)), arm, over, is_control,
                       "unpaired", left_out, stats.tails_of(x.d, y.d))


def _no_ratio(left_out: int, arm: str, over: str, is_control: bool,
              method: str) -> Comparison | None:
    """Nothing to compare, or pairs of which none has a ratio."""
    return Comparison(arm, over, is_control, method, 0, math.nan, math.nan, math.nan, 0.0, 1.0, 0.0,
                      left_out, lambda shift: (1.0, 1.0)) if left_out else None


def _comparison(e: stats.Effects, sample: float, arm: str, over: str, is_control: bool,
                method: str, left_out: int, tails: stats.Tails) -> Comparison:
    low, high = float(e.low[0]), float(e.high[0])
    return Comparison(arm, over, is_control, method, e.pairs, float(e.estimate[0]), low, high,
                      e.level, float(e.p[0]), spread_of(sample, e.pairs, low, high, e.level),
                      left_out, tails)


def summarise(point: Point, arm: str, metric: str, rules: Rules) -> Summary:
    values = point.values(arm, metric)
    blocks = in_order(values)
    numbers = [values[b].number for b in blocks]
    interval = stats.quantile_interval(numbers, 0.5, rules.alpha)
    apart = stats.outliers(np.log(numbers) if all(v > 0 for v in numbers) else numbers)
    lost: dict[str, int] = {}
    for r in point.lost:
        if r["arm"] == arm:
            why = reason_class(r)
            lost[why] = lost.get(why, 0) + 1
    missing = len(point.runs.get(arm, {})) - len(values)
    if missing:
        lost["without a value"] = missing
    return Summary(arm, len(numbers), float(np.median(numbers)) if numbers else math.nan,
                   *(interval or (None, None)),
                   [point.runs[arm][blocks[i]]["run_id"] for i in apart], lost)


def section(point: Point, metric: str, baseline: str, control: str, rules: Rules) -> Section | None:
    names = [a for a in arm_order(point.campaign)
             if a in point.runs or any(r["arm"] == a for r in point.lost)]
    any_value = next((v for a in names for v in point.values(a, metric).values()), None)
    if any_value is None:
        return None
    comparisons = [compare_paired(log_ratios(point, a, baseline, metric), a, baseline,
                                  a == control, rules)
                   for a in names if a != baseline]
    found = Section(point, metric, any_value.unit, any_value.better,
                    [summarise(point, a, metric, rules) for a in names],
                    [c for c in comparisons if c], None)
    if control:
        found.control = _control(point, control, baseline, metric, rules)
    return found


def control_of(point: Point, metric: str, rules: Rules) -> Control | None:
    """The A/A control of the plan at one point; None where there is none."""
    control, baseline = (point.campaign.plan.get(k, "") for k in ("control", "baseline"))
    return _control(point, control, baseline, metric, rules)


def _control(point: Point, control: str, baseline: str, metric: str, rules: Rules) -> Control | None:
    """The control over all runs of a point, unless it is missed on one of its nodes."""
    def judged(where: Point, of: int, what: str) -> Control | None:
        c = compare_paired(log_ratios(where, control, baseline, metric), control, baseline, True, rules)
        return judge_control(c, rules, what, of) if c else None
    nodes = point.nodes
    each = [judged(point.on(n), len(nodes), f"the A/A control on {n}") for n in nodes if len(nodes) > 1]
    missed = next((c for c in each if c and c.state == MISSED), None)
    return missed or judged(point, 1, "the A/A control")
