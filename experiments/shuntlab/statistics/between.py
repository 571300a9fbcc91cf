# SPDX-License-Identifier: MIT
"""What two sets of runs say about each other, point by point: an arm's ratio to the baseline in one
against the same ratio in the other.

What a machine does to everything, today and not yesterday, is in both sides of a ratio and falls out.
Between two sessions of one machine, and between nodes of one class, the baseline is a control where it is
the same build: it differs by what the machine did, and where it does, no verdict is given. Where the builds differ, the
baseline's own ratio is shown, without a verdict: it holds the change of the code and that of the machine.
"""

from __future__ import annotations

import dataclasses

from .effects import Section, compare_unpaired, log_ratios, logs
from .verdicts import Comparison, NO_VERDICT, Rules, Verdict, judge_control

SESSIONS = ("one machine in two sessions: the ratios are to each campaign's own baseline; what a "
            "session does to one arm alone still looks like a difference of the arm. To compare two "
            "builds, run both in one: `lab gate OLD NEW`")
DRIFT = "two builds in two sessions: no ratio separates the code's change from the machine's"


def across(sections: list[Section], baseline: str, rules: Rules) -> list[Section]:
    """Every later part of the runs against the first, in the metrics and points they share."""
    groups: dict[tuple[str, int, str], dict[tuple[str, str, str], Section]] = {}
    for s in sections:
        key = (str(s.point.campaign.path), s.point.part, s.point.machine)
        groups.setdefault(key, {})[s.point.workload, str(sorted(s.point.axes.items())),
                                   s.metric] = s
    first, *rest = groups.values() if groups else [{}]
    found = [_between(first[what], s, baseline, rules)
             for later in rest for what, s in later.items() if what in first]
    return [s for s in found if s.comparisons]


def _between(first: Section, later: Section, baseline: str, rules: Rules) -> Section:
    control = next((s.control for s in (first, later) if s.missed), None)
    controls = {s.point.campaign.plan.get("control", "") for s in (first, later)}
    comparisons = []
    for arm in [x.arm for x in later.summaries if x.arm not in controls | {baseline}]:
        x, y = (log_ratios(s.point, arm, baseline, s.metric) for s in (later, first))
        comparisons.append(compare_unpaired(x, y, arm, arm, rules))
    if later.point.machine_class == first.point.machine_class:
        c = _of_baseline(first, later, baseline, rules)
        comparisons.insert(0, c)
        if c and c.is_control:
            control = control or judge_control(c, rules, f"{baseline}, the same build in both,")
    return dataclasses.replace(later, comparisons=[c for c in comparisons if c], control=control)


def _of_baseline(first: Section, later: Section, baseline: str, rules: Rules) -> Comparison | None:
    x, y = (logs(s.point, baseline, s.metric) for s in (later, first))
    builds = _builds(first, baseline) | _builds(later, baseline)
    c = compare_unpaired(x, y, baseline, baseline, rules, is_control=len(builds) == 1 and "" not in builds)
    if c and not c.is_control:
        c.verdict = Verdict(NO_VERDICT, DRIFT)
    return c


def _builds(s: Section, arm: str) -> set[str]:
    return {str(r["identity"].get("build_id", "")) for r in s.point.runs.get(arm, {}).values()}
