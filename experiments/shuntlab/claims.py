# SPDX-License-Identifier: MIT
"""`lab claims`: what a campaign says about each [[expect]] of its experiment.

An expectation bounds the ratio of two arms in one metric: `ratio = ["ucontext", "asm"]`,
`above = 5`. A side may name a point of its own, `{ arm = "mn", workers = 4 }`; sides at one point
are paired within blocks, others are independent runs. The answer is

    confirmed           the whole interval of the ratio is where the claim says, at every point
    refuted             at some point the whole interval is elsewhere
    inconclusive        neither; with the number of runs that would settle it
    not testable here   the runs it speaks of do not exist on this machine, with the reason
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import objective, stats
from .analysis import Comparison, compare_paired, compare_unpaired, log_ratios, rules_of
from .campaign import Campaign, CampaignError, load_campaign
from .compare import number, ratio_text, wrapped
from .experiment import predicate
from .points import Point, gather, machine_labels, matches

CONFIRMED, REFUTED, OPEN, UNTESTABLE = (
    "confirmed", "refuted", "inconclusive", "not testable here")


@dataclasses.dataclass
class Finding:
    """An expectation at one place."""
    where: str
    machine: str
    answer: str
    comparison: Comparison | None
    reason: str = ""
    runs: int = 0


@dataclasses.dataclass
class Claim:
    expect: dict[str, Any]
    answer: str
    findings: list[Finding]
    reason: str = ""

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
            return f"{arm} does not report {metric}"
    return f"no run of {arm}"


# ---- judging ------------------------------------------------------------------------------------

def judge(campaign: Campaign, expect: dict[str, Any]) -> Claim:
    (of, at_of), (over, at_over) = (_split(s) for s in expect["ratio"])
    here, there = (_points(campaign, expect, extra) for extra in (at_of, at_over))
    rules = rules_of(campaign)
    findings = []
    for p in here:
        partner = _partner(p, there, at_of, at_over)
        if partner:
            c = _compare(p, of, partner, over, expect["metric"], rules)
            if c:
                findings.append(_finding(p, partner, c, expect, rules))
    if not findings:
        absent = of if not any(p.values(of, expect["metric"]) for p in here) else over
        why = _why_absent(here if absent == of else there, absent, expect["metric"])
        return Claim(expect, UNTESTABLE, [], why if here or there else "no point like that was run")
    answers = [f.answer for f in findings]
    answer = (REFUTED if REFUTED in answers else OPEN if OPEN in answers else CONFIRMED)
    return Claim(expect, answer, findings)


def _partner(p: Point, there: list[Point], at_of: dict, at_over: dict) -> Point | None:
    """The point of the other side: the same machine, and the same axes but for those named."""
    free = at_of.keys() | at_over.keys()
    free = free | {f"backend.{k}" for k in free}
    rest = {k: v for k, v in p.axes.items() if k not in free}
    return next((q for q in there if q.machine == p.machine and q.part == p.part
                 and q.name == p.name
                 and {k: v for k, v in q.axes.items() if k not in free} == rest), None)


def _compare(p: Point, of: str, q: Point, over: str, metric: str,
             rules: stats.Rules) -> Comparison | None:
    if p.id == q.id:
        return compare_paired(log_ratios(p, of, over, metric), of, over, False, rules)
    x, y = (np.array([math.log(v.number) for v in point.values(arm, metric).values()
                      if v.number > 0]) for point, arm in ((p, of), (q, over)))
    return compare_unpaired(x, y, of, over, rules)


def _finding(p: Point, q: Point, c: Comparison, expect: dict[str, Any],
             rules: stats.Rules) -> Finding:
    control = _control(p, expect["metric"], rules)
    if control.ok and q.id != p.id:
        control = _control(q, expect["metric"], rules)
    found = Finding(p.label, p.machine, OPEN, c)
    bounds = [(1, float(expect["above"]))] if "above" in expect else []
    bounds += [(-1, float(expect["below"]))] if "below" in expect else []
    if not control.ok:
        found.reason = control.reason
    elif math.isnan(c.low):
        found.runs = max(stats.min_pairs(rules.alpha), c.pairs + 1)
        found.reason = f"{c.pairs} runs carry no interval"
    else:
        sides = [_side(c, sign, bound) for sign, bound in bounds]
        found.answer = (REFUTED if REFUTED in sides else OPEN if OPEN in sides else CONFIRMED)
        if found.answer == OPEN:
            found.runs = _runs(c, [bound for _, bound in bounds], rules)
    return found


def _side(c: Comparison, sign: int, bound: float) -> str:
    near, far = sorted((sign * (c.low - math.log(bound)), sign * (c.high - math.log(bound))))
    return CONFIRMED if near > 0 else REFUTED if far < 0 else OPEN


def _runs(c: Comparison, bounds: list[float], rules: stats.Rules) -> int:
    """Runs after which the estimate of today would clear the nearest bound."""
    distance = min(abs(c.estimate - math.log(b)) for b in bounds)
    return stats.runs_to_settle(c.spread, c.pairs, max(distance, rules.edge / 20), rules)


def _control(p: Point, metric: str, rules: stats.Rules) -> stats.Control:
    plan = p.campaign.plan
    d = log_ratios(p, plan.get("control", ""), plan["baseline"], metric)
    c = compare_paired(d, plan.get("control", ""), plan["baseline"], True, rules)
    return stats.judge_control(c.estimate, c.low, c.high, c.p, rules) if c else stats.Control(
        True, rules.edge)


# ---- output -------------------------------------------------------------------------------------

def judge_all(campaign: Campaign) -> list[Claim]:
    return [judge(campaign, e) for e in campaign.plan.get("expect", [])]


def table(campaign: Campaign, claims: list[Claim]) -> str:
    machines = machine_labels([campaign])
    out = wrapped(f"{campaign.name}: {campaign.plan['experiment'].get('question', '')}")
    for c in claims:
        out += ["", *wrapped(f"{c.answer.upper()}: {c.text}"), *wrapped(f"  {c.predicate}")]
        out += wrapped(f"  {c.reason}") if c.reason else []
        for f in c.findings:
            place = f"{f.where} on {machines[f.machine]}" if len(machines) > 1 else f.where
            more = f"; {f.runs} runs would settle it" if f.runs else ""
            why = f"; {f.reason}" if f.reason else ""
            out += wrapped(f"    {place}: {ratio_text(f.comparison)}, n = {f.comparison.pairs}: "
                           f"{f.answer}{more}{why}")
    counts = [f"{sum(c.answer == a for c in claims)} {a}"
              for a in (CONFIRMED, REFUTED, OPEN, UNTESTABLE) if any(c.answer == a for c in claims)]
    out += objective.table(campaign)
    return "\n".join(out + ["", *wrapped(", ".join(counts) or "The experiment expects nothing.")]
                     ) + "\n"


def claims_json(campaign: Campaign, claims: list[Claim]) -> dict[str, Any]:
    return {"schema": "shunt.claims/1", "experiment": campaign.name, "claims": [
        {"claim": c.text, "predicate": c.predicate, "line": c.expect.get("line"),
         "answer": c.answer, "reason": c.reason,
         "findings": [{"where": f.where, "machine_class": f.machine, "answer": f.answer,
                       "ratio": f.comparison.ratio[0], "low": number(f.comparison.ratio[1]),
                       "high": number(f.comparison.ratio[2]), "pairs": f.comparison.pairs,
                       "method": f.comparison.method, "runs": f.runs, "reason": f.reason}
                      for f in c.findings]} for c in claims],
            "objectives": objective.document(campaign)}


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "claims", help="answer each expectation of an experiment from its records",
        description="Answer each [[expect]]: confirmed, refuted, inconclusive or not testable "
                    "here. Exits 1 if one is refuted.")
    p.add_argument("campaign", type=Path, metavar="CAMPAIGN")
    p.add_argument("--json", action="store_true", help="one JSON document instead of the text")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    campaign = load_campaign(args.campaign)
    if not campaign.records:
        raise CampaignError(f"{args.campaign}: no records yet; "
                            f"`lab run {args.campaign}` makes them")
    claims = judge_all(campaign)
    if args.json:
        json.dump(claims_json(campaign, claims), sys.stdout, indent=1, allow_nan=False)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(table(campaign, claims))
    return 1 if any(c.answer == REFUTED for c in claims) else 0
