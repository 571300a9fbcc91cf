# SPDX-License-Identifier: MIT
"""The report of a campaign, or of several: every hypothesis they test, with one correction.

Every arm is compared with the baseline at every point, within blocks. The A/A arm is the baseline
a second time: there is nothing to find in it but the machine, and where it differs no verdict is
given. Machines are kept apart; between them only ratios are compared.

The family of Holm's adjustment is every comparison of the plan's metrics, those of its forest figures,
those asked for by name, and every claim at every point. So the table, the forest, the claims and the
page say the same of the same arms, whichever of them is looked at. The claims were stated before the
run and have half of alpha among them; Holm's procedure passes on what is not used up.
"""

from __future__ import annotations

import dataclasses
from typing import Iterable

from ..planning.campaign import Campaign
from ..planning.experiment import nearest
from ..planning.kept_plan import CampaignError, PLAN_BYTES_MAX
from ..tools.files import read_json
from ..tools.units import comparisons
from . import stats
from .between import SESSIONS, across
from .disturbance import taken
from .effects import Section, section
from .expectations import Claim, claim_of
from .points import gather, machine_labels
from .values import digits_of, metrics_for, value_of, why_not_counted
from .strata import contradicted, node_notes
from .verdicts import Comparison, MARGIN, MISSED, NO_VERDICT, OK, Rules, UNKNOWN, Verdict, verdict


@dataclasses.dataclass
class Report:
    campaigns: list[Campaign]
    baseline: str
    rules: Rules
    sections: list[Section]
    machines: dict[str, str]
    claims: list[Claim] = dataclasses.field(default_factory=list)
    across: list[Section] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def one_machine(self) -> bool:
        """Whether it compares sessions of one machine with each other."""
        return len(self.campaigns) > 1 and any(c.arm == self.baseline for s in self.across for c in s.comparisons)


def rules_of(campaign: Campaign) -> Rules:
    return Rules(margin=float(campaign.plan.get("margin", MARGIN)),
                 alpha=float(campaign.plan.get("alpha", stats.ALPHA)))


def analyse(campaigns: list[Campaign], baseline: str = "", metrics: Iterable[str] = ()) -> Report:
    """Everything that `compare`, `claims`, `report` and the forest plot say.

    With metrics, only these are shown; the family is that of all."""
    first, wanted = campaigns[0], list(metrics)
    baseline = baseline or first.plan.get("baseline", "")
    report = Report(campaigns, baseline, rules_of(first), [], machine_labels(campaigns))
    for campaign in campaigns:
        report.sections += _sections(campaign, baseline, wanted, report.rules)
        report.claims += [claim_of(campaign, e, report.rules)
                          for e in campaign.plan.get("expect", [])]
    report.across = across(report.sections, baseline, report.rules)
    _judge(report)
    if wanted:
        report.sections = [s for s in report.sections if s.metric in wanted]
        report.across = [s for s in report.across if s.metric in wanted]
    _take_notes(report, wanted)
    return report


def _sections(campaign: Campaign, baseline: str, wanted: list[str], rules: Rules) -> list[Section]:
    if baseline not in campaign.arms:
        raise CampaignError(f"{campaign.path}: no arm {baseline!r} to compare with; it has "
                            + ", ".join(campaign.arms))
    # The A/A arm repeats the plan's baseline; against another one it controls nothing.
    control = campaign.plan.get("control", "")
    control = control if baseline == campaign.plan.get("baseline") else ""
    points = gather(campaign)
    metrics = {w: _metrics(campaign, w, wanted) for w in {p.workload for p in points}}     # reads every record
    found = [section(point, metric, baseline, control, rules) for point in points for metric in metrics[point.workload]]
    return [s for s in found if s]


def _metrics(campaign: Campaign, workload: str, wanted: list[str]) -> list[str]:
    forests = [f["y"] for f in campaign.plan.get("figures") or []
               if f.get("kind") == "forest" and isinstance(f.get("y"), str)]
    asked = [metrics_for(campaign, workload, some) for some in ((), forests, wanted)]
    return list(dict.fromkeys(name for some in asked for name in some))


# ---- the family ---------------------------------------------------------------------------------

CLAIMS_SHARE = 0.5      # of alpha, where there are claims and comparisons


def _judge(report: Report) -> None:
    """Holm over every hypothesis of the report, then the words."""
    _tell_contradictions(report)
    pairs = [(s, c) for s in report.sections + report.across for c in s.comparisons]
    asked = [c for _, c in pairs if c.pairs and not c.is_control and c.verdict.word != NO_VERDICT]
    findings = [f for claim in report.claims for f in claim.findings]
    edge = report.rules.edge
    p = [(1.0, 1.0) if c.left_out else (stats.p_outside(c.tails, -edge, edge).item(),
                                        stats.p_inside(c.tails, -edge, edge).item())
         for c in asked]
    p += [(1.0, 1.0) if f.comparison.left_out else f.p_values for f in findings]
    of_claims = CLAIMS_SHARE if asked and findings else float(not asked)
    shares = [(1 - of_claims) / len(asked) if asked else 1.0, of_claims / max(1, len(findings))]
    adjusted = list(zip(*stats.holm_either(
        [a for a, _ in p], [b for _, b in p],
        [shares[0]] * len(asked) + [shares[1]] * len(findings))))
    report.rules = dataclasses.replace(report.rules, family=len(p), share=shares[0])
    of_claims_rules = dataclasses.replace(report.rules, share=shares[1])
    for c, (p_holm, p_same) in zip(asked, adjusted):
        if not c.left_out:
            c.p_holm, c.p_same = float(p_holm), float(p_same)
    for f, (p_holds, p_fails) in zip(findings, adjusted[len(asked):]):
        f.conclude(float(p_holds), float(p_fails), of_claims_rules)
    for s, c in pairs:
        if c.is_control:
            c.verdict = _of_control(s)
        elif c.verdict.word != NO_VERDICT:
            c.verdict = verdict(c, report.rules, s.control, s.better != "higher")


def _tell_contradictions(report: Report) -> None:
    """A comparison about which the nodes disagree has no verdict, and a claim about it no answer."""
    own = [c for s in report.sections for c in s.comparisons]
    findings = [f for claim in report.claims for f in claim.findings]
    why = contradicted([*own, *(f.comparison for f in findings)], report.rules)
    for c, text in zip(own, why):
        if text:
            c.verdict = Verdict(NO_VERDICT, text)
    for f, text in zip(findings, why[len(own):]):
        f.control = f.control or text


def _of_control(s: Section) -> Verdict:
    word = {OK: "control", MISSED: "control missed", UNKNOWN: "control unknown"}
    return Verdict(word[s.control.state], s.control.reason)


# ---- notes --------------------------------------------------------------------------------------

def _take_notes(report: Report, wanted: list[str]) -> None:
    """What a reader must know beside the numbers."""
    notes = report.notes
    for campaign in report.campaigns:
        missing = campaign.expected() - len(campaign.records)
        if missing > 0:
            notes.append(f"{campaign.path}: {missing} of {campaign.expected()} runs not made yet; "
                         "a verdict before the last run does not keep its error rate")
        if campaign.problems:
            notes.append(f"{campaign.path}: {len(campaign.problems)} damaged files left out; "
                         "`lab verify` names them")
    notes += cautions(report)
    notes += _unknown_metrics(report.campaigns[0], wanted)
    most = max((c.pairs for s in report.sections for c in s.comparisons), default=0)
    if 0 < most < report.rules.least:
        notes.append(f"{comparisons(report.rules.family)} need at least {report.rules.least} runs "
                     f"of each arm for any verdict; there are {most}")
    notes += _about_controls(report.sections)
    notes += _about_order(report)
    for metric in dict.fromkeys(s.metric for s in report.across):
        digits = {digits_of(r, metric) for c in report.campaigns for r in c.ok()} - {None}
        if len(digits) > 1:
            notes.append(f"{metric} is read from buckets of 2 digits in some records and of 3 in "
                         "others: up to 0.8 % of a difference between campaigns is of that")
    if len({s.point.machine for s in report.sections}) > 1:
        notes.append("several machines: compare them by the ratios, never by the medians")
    notes += [text for c in report.campaigns for text in node_notes(c)]
    if report.one_machine:
        notes.append(SESSIONS)


def cautions(report: Report) -> list[str]:
    """What a reader of any verdict must know, be it of arms or of claims."""
    return other_rules(report) + taken(report.campaigns, report.baseline) + earlier(report.campaigns)


def other_rules(report: Report) -> list[str]:
    """Campaigns that were frozen with another margin or alpha than the one they are judged with here."""
    used = rules_of(report.campaigns[0])
    said = [(c.path, rules_of(c)) for c in report.campaigns[1:]]
    return [f"{path} was frozen with margin {own.margin:g} and alpha {own.alpha:g}; all is judged here "
            f"with margin {used.margin:g} and alpha {used.alpha:g}, those of {report.campaigns[0].path}"
            for path, own in said if (own.margin, own.alpha) != (used.margin, used.alpha)]


def earlier(campaigns: list[Campaign]) -> list[str]:
    """Campaigns of the same experiment beside these: a result may have been chosen among them."""
    found: dict[str, list[str]] = {}
    given = {c.path.resolve() for c in campaigns}
    for campaign in campaigns:
        for file in sorted(campaign.path.resolve().parent.glob("*/plan.json")):
            if file.parent in given:
                continue
            try:
                plan = read_json(file, PLAN_BYTES_MAX)
                name, created = plan["experiment"]["name"], plan["created"]
            except (OSError, ValueError, KeyError, TypeError):
                continue        # a damaged neighbour is not this campaign's matter
            if name == campaign.name and created <= campaign.plan.get("created", ""):
                found.setdefault(name, []).append(file.parent.name)
    return [f"earlier campaigns of {name}: {', '.join(others[:5])}"
            + (f" and {len(others) - 5} more" if len(others) > 5 else "")
            + "; the error rate holds only if none of them was set aside for its result"
            for name, others in found.items()]


def _about_controls(sections: list[Section]) -> list[str]:
    controls = [s.control for s in sections if s.control]
    if sections and not controls:
        return ["no A/A control here: the verdicts rest on the intervals alone"]
    unknown = [c.reason for c in controls if c.state == UNKNOWN]
    return [f"control unknown at {len(unknown)} of {len(controls)} points: {unknown[0]}"
            ] if unknown else []


def correlated(report: Report) -> tuple[int, list[tuple[Section, Comparison]]]:
    """How many comparisons were tested for serial correlation, and those that have it."""
    tested = [(s, c) for s in report.sections for c in s.comparisons
              if c.method == "paired" and c.pairs >= stats.SERIAL_LEAST]
    p = stats.holm([c.p_serial for _, c in tested])
    return len(tested), [x for x, adjusted in zip(tested, p) if adjusted <= report.rules.alpha]


def _about_order(report: Report) -> list[str]:
    count, found = correlated(report)
    if not found:
        return [f"serial correlation of the differences: found in none of {comparisons(count)}"
                ] if count else []
    places = ", ".join(f"{c.arm} at {s.point.label}" for s, c in found[:3])
    return [f"serial correlation of the differences in {len(found)} of {comparisons(count)} (rank "
            f"von Neumann ratio, Holm-adjusted): {places}{', …' if len(found) > 3 else ''}; their "
            "intervals are too narrow and their p-values too small"]


def no_run_has(campaign: Campaign, names: Iterable[str]) -> list[str]:
    """Those of these metrics that no run has, each with the reason or the nearest name."""
    runs = campaign.ok()
    missing = [name for name in names if not any(value_of(r, name) for r in runs)]
    return [f"no run has the metric {name!r} that is asked for" + (
        f": {why}" if (why := why_not_counted(runs, name)) else nearest(name, sorted(campaign.named)))
            for name in missing]


def _unknown_metrics(campaign: Campaign, wanted: list[str]) -> list[str]:
    """Metrics asked for that no run has: for the experiment's, the workload's own cost stands in their place."""
    if {p["workload"] for p in campaign.plan["points"]} - {r["identity"]["workload"] for r in campaign.ok()}:
        return []       # one that has not run yet may have it
    return no_run_has(campaign, [*campaign.plan.get("metrics", []), *wanted])
