# SPDX-License-Identifier: MIT
"""What the runs of a campaign say about each [[expect]] of its experiment.

An expectation bounds the ratio of two arms in one metric: `ratio = ["ucontext", "asm"]`,
`above = 5`. A side may name a point of its own, `{ arm = "mn", workers = 4 }`; sides at one point
are paired within blocks, others are independent runs. A finding is the expectation at one point,
and a hypothesis of the report's family: its answer waits for the adjusted p-values. The answer is

    confirmed           the whole interval of the ratio is where the claim says, at every point
    refuted             at some point the whole interval is elsewhere
    inconclusive        neither; with the number of runs that would settle it
    not testable here   the runs it speaks of do not exist on this machine, with the reason
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..planning.campaign import Campaign
from ..planning.experiment import predicate
from ..tools.units import comparisons
from . import stats
from .effects import compare_paired, compare_unpaired, control_of, log_ratios, logs
from .points import Point, gather, matches
from .values import why_not_counted
from .verdicts import Comparison, MISSED, Rules, left_out_text, runs_to_settle

CONFIRMED, REFUTED, OPEN, UNTESTABLE = (
    "confirmed", "refuted", "inconclusive", "not testable here")


@dataclasses.dataclass
class Finding:
    """An expectation at one place."""
    where: str
    machine: str
    comparison: Comparison
    bounds: tuple[float, float]     # logarithms, between which the claim says that the ratio is
    control: str                    # why its control takes the answer away
    points: frozenset[str]          # the points of its two sides, by their names in the plan
    answer: str = OPEN
    reason: str = ""
    runs: int = 0

    @property
    def p_values(self) -> tuple[float, float]:
        """Two-sided p-values of "the claim holds here" and of "it does not"."""
        tails = self.comparison.tails
        return (float(stats.p_outside(tails, *self.bounds).item()),
                float(stats.p_inside(tails, *self.bounds).item()))

    def conclude(self, p_holds: float, p_fails: float, rules: Rules) -> None:
        """Answer by the adjusted p-values, and by the interval, which must agree."""
        c, (low, high) = self.comparison, self.bounds
        c.p_holm, c.p_same = p_holds, p_fails
        inside, outside = low < c.low and c.high < high, c.low > high or c.high < low
        if c.left_out or self.control:
            self.reason = left_out_text(c) if c.left_out else self.control
        elif inside and p_fails <= rules.alpha:
            self.answer = CONFIRMED
        elif outside and p_holds <= rules.alpha:
            self.answer = REFUTED
        else:
            distance = min(abs(c.estimate - b) for b in self.bounds)
            self.runs = runs_to_settle(c, max(distance, rules.edge / 20), rules)
            p = p_fails if inside else p_holds
            self.reason = (f"{c.pairs} pairs carry no interval" if math.isnan(c.low) else
                           f"Holm-adjusted p = {p:.2g} over {comparisons(rules.family)}"
                           if inside or outside else "")


@dataclasses.dataclass
class Claim:
    expect: dict[str, Any]
    findings: list[Finding]
    reason: str = ""

    @property
    def answer(self) -> str:
        answers = [f.answer for f in self.findings]
        return UNTESTABLE if not answers else next(
            (a for a in (REFUTED, OPEN) if a in answers), CONFIRMED)

    @property
    def text(self) -> str:
        return self.expect.get("claim", "")

    @property
    def predicate(self) -> str:
        return predicate(self.expect)


# ---- finding the runs ---------------------------------------------------------------------------

def _split(side: Any) -> tuple[str, dict[str, str]]:
    if not isinstance(side, dict):
        return str(side), {}
    return str(side.get("arm", "")), {k: str(v) for k, v in side.items() if k != "arm"}


def _points(campaign: Campaign, expect: dict[str, Any], extra: dict[str, str]) -> list[Point]:
    where = {**expect.get("where", {}), **extra}
    workload = expect.get("workload", "")
    return [p for p in gather(campaign)
            if workload in ("", p.workload, p.name) and matches(p, where)]


def _why_absent(points: list[Point], arm: str, metric: str) -> str:
    """Why an arm has no value: the reason its runs, or the plan, give."""
    for p in points:
        for r in p.lost:
            if r["arm"] == arm:
                return f"{arm}: {r['status']}: {r['reason']}"
        for e in p.campaign.points.get(p.id, {}).get("excluded", []):
            if e.get("arm") == arm:
                return f"{arm}: {e.get('why', 'excluded')}"
        if arm in p.runs:
            why = why_not_counted(p.runs[arm].values(), metric)
            return f"{arm} does not report {metric}{f': {why}' if why else ''}"
    return f"no run of {arm}"


def claim_of(campaign: Campaign, expect: dict[str, Any], rules: Rules) -> Claim:
    """An expectation with what was found at each of its points, not concluded yet."""
    (of, at_of), (over, at_over) = (_split(s) for s in expect["ratio"])
    here, there = (_points(campaign, expect, extra) for extra in (at_of, at_over))
    findings = []
    for p in here:
        partner = _partner(p, there, at_of, at_over)
        c = _compare(p, of, partner, over, expect["metric"], rules) if partner else None
        if c:
            findings.append(Finding(p.label, p.machine, c, _bounds(expect),
                                    _missed(p, partner, expect["metric"], rules),
                                    frozenset((p.id, partner.id))))
    if findings:
        return Claim(expect, findings)
    absent = of if not any(p.values(of, expect["metric"]) for p in here) else over
    why = _why_absent(here if absent == of else there, absent, expect["metric"])
    return Claim(expect, [], why if here or there else "no point like that was run")


def _bounds(expect: dict[str, Any]) -> tuple[float, float]:
    return (math.log(float(expect["above"])) if "above" in expect else -math.inf,
            math.log(float(expect["below"])) if "below" in expect else math.inf)


def _partner(p: Point, there: list[Point], at_of: dict, at_over: dict) -> Point | None:
    """The point of the other side: the same machine, and the same axes but for those named."""
    free = at_of.keys() | at_over.keys()
    free = free | {f"backend.{k}" for k in free}
    rest = {k: v for k, v in p.axes.items() if k not in free}
    return next((q for q in there if q.machine == p.machine and q.part == p.part
                 and q.name == p.name
                 and {k: v for k, v in q.axes.items() if k not in free} == rest), None)


def _compare(p: Point, of: str, q: Point, over: str, metric: str,
             rules: Rules) -> Comparison | None:
    if p.id == q.id:
        return compare_paired(log_ratios(p, of, over, metric), of, over, False, rules)
    return compare_unpaired(logs(p, of, metric), logs(q, over, metric), of, over, rules)


def _missed(p: Point, q: Point, metric: str, rules: Rules) -> str:
    """Why a control at either side forbids an answer, or an empty text."""
    controls = [control_of(x, metric, rules) for x in (p, q)]
    return next((c.reason for c in controls if c and c.state == MISSED), "")
