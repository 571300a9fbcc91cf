# SPDX-License-Identifier: MIT
"""The comparisons of a campaign, or of several: effects, controls, verdicts.

Every arm is compared with the baseline at every point, within blocks. The A/A arm is the baseline
a second time: what it shows is what the machine makes of no difference at all, and where it shows
one no verdict is given. Machines are kept apart; between them only ratios are compared.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Iterable

import numpy as np

from . import stats
from .campaign import Campaign, CampaignError
from .experiment import nearest
from .points import (Point, arm_order, digits_of, gather, machine_labels, metrics_for, value_of)


@dataclasses.dataclass
class Summary:
    """One arm at one point: the middle of its runs, and which of them stand apart."""
    arm: str
    n: int
    median: float
    low: float | None           # order-statistic interval; None: too few runs for one
    high: float | None
    outliers: list[str]         # run ids, flagged and kept
    lost: dict[str, int]        # status -> runs without a value


@dataclasses.dataclass
class Comparison:
    """One arm over another; the effect is a logarithm of their ratio."""
    arm: str
    over: str
    is_control: bool
    method: str                 # "paired" or "unpaired"
    pairs: int
    estimate: float
    low: float
    high: float
    level: float
    p: float
    p_margin: float
    spread: float
    p_holm: float = math.nan
    verdict: stats.Verdict = stats.Verdict(stats.INCONCLUSIVE)

    @property
    def ratio(self) -> tuple[float, float, float]:
        return math.exp(self.estimate), math.exp(self.low), math.exp(self.high)


@dataclasses.dataclass
class Section:
    """One metric at one point."""
    point: Point
    metric: str
    unit: str
    better: str
    summaries: list[Summary]
    comparisons: list[Comparison]
    control: stats.Control | None

    def of(self, arm: str) -> Comparison | None:
        return next((c for c in self.comparisons if c.arm == arm), None)


@dataclasses.dataclass
class Report:
    campaigns: list[Campaign]
    baseline: str
    rules: stats.Rules
    sections: list[Section]
    machines: dict[str, str]
    across: list["Section"] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


# ---- effects ------------------------------------------------------------------------------------

def log_ratios(point: Point, arm: str, over: str, metric: str) -> np.ndarray:
    """One logarithm a block in which both arms have a positive value."""
    a, b = point.values(arm, metric), point.values(over, metric)
    pairs = [(a[k].number, b[k].number) for k in sorted(a.keys() & b.keys())]
    return np.array([math.log(x / y) for x, y in pairs if x > 0 and y > 0])


def compare_paired(d: np.ndarray, arm: str, over: str, is_control: bool,
                   rules: stats.Rules) -> Comparison | None:
    if len(d) == 0:
        return None
    e = stats.paired(d, rules.margin, rules.alpha)
    return _comparison(e, stats.deviation(d), arm, over, is_control, "paired")


def compare_unpaired(x: np.ndarray, y: np.ndarray, arm: str, over: str,
                     rules: stats.Rules) -> Comparison | None:
    """x and y are logarithms of independent runs."""
    if len(x) == 0 or len(y) == 0:
        return None
    e = stats.unpaired(x, y, rules.margin, rules.alpha)
    # Two independent spreads add up; one "pair" is a run of each.
    return _comparison(e, math.hypot(stats.deviation(x), stats.deviation(y)), arm, over, False,
                       "unpaired")


def _comparison(e: stats.Effects, deviation: float, arm: str, over: str, is_control: bool,
                method: str) -> Comparison:
    low, high = float(e.low[0]), float(e.high[0])
    return Comparison(arm, over, is_control, method, e.pairs, float(e.estimate[0]), low, high,
                      e.level, float(e.p[0]), float(e.p_margin[0]),
                      stats.spread_of(deviation, e.pairs, low, high, e.level))


def summarise(point: Point, arm: str, metric: str, rules: stats.Rules) -> Summary:
    values = point.values(arm, metric)
    blocks = sorted(values)
    numbers = [values[b].number for b in blocks]
    interval = stats.quantile_interval(numbers, 0.5, rules.alpha)
    apart = stats.outliers(np.log(numbers) if all(v > 0 for v in numbers) else numbers)
    lost: dict[str, int] = {}
    for r in point.lost:
        if r["arm"] == arm:
            lost[r["status"]] = lost.get(r["status"], 0) + 1
    missing = len(point.runs.get(arm, {})) - len(values)
    if missing:
        lost["no value"] = missing
    return Summary(arm, len(numbers), float(np.median(numbers)) if numbers else math.nan,
                   *(interval or (None, None)),
                   [point.runs[arm][blocks[i]]["run_id"] for i in apart], lost)


# ---- a campaign ---------------------------------------------------------------------------------

def section(point: Point, metric: str, baseline: str, control: str,
            rules: stats.Rules) -> Section | None:
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
    aa = next((c for c in found.comparisons if c.is_control), None)
    if aa:
        found.control = stats.judge_control(aa.estimate, aa.low, aa.high, aa.p, rules)
    return found


def rules_of(campaign: Campaign) -> stats.Rules:
    return stats.Rules(margin=float(campaign.plan.get("margin", stats.MARGIN)),
                       alpha=float(campaign.plan.get("alpha", stats.ALPHA)))


def analyse(campaigns: list[Campaign], baseline: str = "", metrics: Iterable[str] = ()) -> Report:
    """Everything `compare`, `report` and the forest plot say."""
    first = campaigns[0]
    baseline = baseline or first.plan.get("baseline", "")
    rules = rules_of(first)
    sections = []
    for campaign in campaigns:
        if baseline not in campaign.arms:
            raise CampaignError(f"{campaign.path}: no arm {baseline!r} to compare with; it has "
                                + ", ".join(campaign.arms))
        # The A/A arm repeats the plan's baseline; against another one it controls nothing.
        control = campaign.plan.get("control", "")
        control = control if baseline == campaign.plan.get("baseline") else ""
        for point in gather(campaign):
            for metric in metrics_for(campaign, point.workload, metrics):
                found = section(point, metric, baseline, control, rules)
                if found:
                    sections.append(found)
    report = Report(campaigns, baseline, rules, sections, machine_labels(campaigns))
    report.across = _across(report)
    _judge(report)
    _take_notes(report)
    return report


def _judge(report: Report) -> None:
    """Holm over every comparison of the report that is not a control, then the verdicts."""
    pairs = [(s, c) for s in report.sections + report.across for c in s.comparisons]
    asked = [c for _, c in pairs if not c.is_control]
    for c, p in zip(asked, stats.holm([c.p_margin for c in asked]) if asked else []):
        c.p_holm = float(p)
    report.rules = dataclasses.replace(report.rules, family=max(1, len(asked)))
    for s, c in pairs:
        if c.is_control:
            ok = s.control is not None and s.control.ok
            c.verdict = stats.Verdict("control" if ok else "control missed",
                                      "" if ok else s.control.reason)
        else:
            c.verdict = stats.verdict(c.estimate, c.low, c.high, c.p_holm, c.spread, c.pairs,
                                      report.rules, s.control, s.better != "higher")


def _take_notes(report: Report) -> None:
    """What a reader must know beside the numbers."""
    notes = report.notes
    for campaign in report.campaigns:
        missing = campaign.expected() - len(campaign.records)
        if missing > 0:
            notes.append(f"{campaign.path}: {missing} of {campaign.expected()} runs not made yet")
        if campaign.problems:
            notes.append(f"{campaign.path}: {len(campaign.problems)} damaged files left out; "
                         "`lab verify` names them")
    notes += _unknown_metrics(report.campaigns[0])
    least = stats.min_pairs(report.rules.alpha / report.rules.family)
    most = max((c.pairs for s in report.sections for c in s.comparisons), default=0)
    if 0 < most < least:
        notes.append(f"{report.rules.family} comparisons need at least {least} runs of each arm "
                     f"for any verdict; there are {most}")
    if report.sections and not any(s.control for s in report.sections):
        notes.append("no A/A control here: the verdicts rest on the intervals alone")
    for metric in dict.fromkeys(s.metric for s in report.across):
        digits = {digits_of(r, metric) for c in report.campaigns for r in c.ok()} - {None}
        if len(digits) > 1:
            notes.append(f"{metric} is read from buckets of 2 digits in some records and of 3 in "
                         "others: up to 0.8 % of a difference between campaigns is of that")
    if len({s.point.machine for s in report.sections}) > 1:
        notes.append("several machines: compare them by the ratios, never by the medians")


def _unknown_metrics(campaign: Campaign) -> list[str]:
    """Metrics the experiment names that no run has: the workload's own cost stands in their place."""
    runs = campaign.ok()
    if {p["workload"] for p in campaign.plan["points"]} - {r["identity"]["workload"] for r in runs}:
        return []       # one that has not run yet may have it
    known = sorted({name for r in runs for name in r["metrics"]})
    return [f"no run has the metric {name!r} that the experiment asks for{nearest(name, known)}"
            for name in campaign.plan.get("metrics", [])
            if not any(value_of(r, name) for r in runs)]


# ---- two campaigns ------------------------------------------------------------------------------

def _across(report: Report) -> list[Section]:
    """What two sets of runs say about each other, point by point.

    On one machine class, an arm of the second campaign over the same arm of the first. On two
    machines only the ratios to the baseline are set against each other."""
    groups: dict[tuple[int, int, str], dict[tuple[str, str, str], Section]] = {}
    for s in report.sections:
        key = (report.campaigns.index(s.point.campaign), s.point.part, s.point.machine)
        groups.setdefault(key, {})[s.point.workload, str(sorted(s.point.axes.items())),
                                   s.metric] = s
    keys = list(groups)
    found = []
    for later in keys[1:]:
        for what, s in groups[later].items():
            first = groups[keys[0]].get(what)
            if first:
                found.append(_between(first, s, report))
    return [s for s in found if s.comparisons]


def _between(first: Section, later: Section, report: Report) -> Section:
    same_machine = first.point.machine == later.point.machine
    control = next((c for c in (first.control, later.control) if c and not c.ok), None)
    comparisons = []
    controls = {s.point.campaign.plan.get("control", "") for s in (first, later)}
    for arm in [x.arm for x in later.summaries if x.arm not in controls]:
        if same_machine:
            x, y = _logs(later, arm), _logs(first, arm)
        elif arm != report.baseline:
            x, y = (log_ratios(s.point, arm, report.baseline, s.metric) for s in (later, first))
        else:
            continue
        c = compare_unpaired(x, y, arm, arm, report.rules)
        if c:
            comparisons.append(c)
    return dataclasses.replace(later, comparisons=comparisons, control=control)


def _logs(s: Section, arm: str) -> np.ndarray:
    return np.array([math.log(v.number) for v in s.point.values(arm, s.metric).values()
                     if v.number > 0])
