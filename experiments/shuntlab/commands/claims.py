# SPDX-License-Identifier: MIT
"""`lab claims`: the answer to each [[expect]] of an experiment, from the records of a campaign."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..output.wording import number, ratio_text, wrapped
from ..planning.campaign import Campaign, load_campaign, status_with
from ..planning.kept_plan import CampaignError
from ..statistics import objective
from ..statistics.analysis import Report, analyse, cautions
from ..statistics.expectations import CONFIRMED, Claim, Finding, OPEN, REFUTED, UNTESTABLE
from ..statistics.needs import needs
from ..tools.units import comparisons

# ---- output -------------------------------------------------------------------------------------

def judge_all(campaign: Campaign) -> list[Claim]:
    """The claims of a campaign, concluded in the family of its whole report."""
    return analyse([campaign]).claims


def table(report: Report) -> str:
    campaign, claims, machines = report.campaigns[0], report.claims, report.machines
    out = wrapped(f"{campaign.name}: {campaign.plan['experiment'].get('question', '')}")
    for c in claims:
        out += ["", *wrapped(f"{c.answer.upper()}: {c.text}"), *wrapped(f"  {c.predicate}")]
        out += wrapped(f"  {c.reason}") if c.reason else []
        for f in c.findings:
            place = f"{f.where} on {machines[f.machine]}" if len(machines) > 1 else f.where
            out += wrapped(f"    {place}: {ratio_text(f.comparison)}, n = {f.comparison.pairs}: "
                           f"{finding_text(f)}")
    counts = [f"{sum(c.answer == a for c in claims)} {a}"
              for a in (CONFIRMED, REFUTED, OPEN, UNTESTABLE) if any(c.answer == a for c in claims)]
    out += objective.table(campaign)
    out += ["", *wrapped(", ".join(counts) or "The experiment expects nothing.")]
    if any(c.findings for c in claims):
        out += wrapped(f"Intervals have level {100 * (1 - report.rules.alpha):g} %; answers are by "
                       f"Holm-adjusted p-values over {comparisons(report.rules.family)}, those of "
                       "`lab compare` among them.")
    for note in cautions(report):
        out += wrapped(note)
    return "\n".join(out) + "\n"


def finding_text(f: Finding) -> str:
    """An answer with its reason, and what would change it."""
    return "; ".join(t for t in (f.answer, f.reason,
                                 f"{f.runs} runs would settle it" if f.runs else "") if t)


def claims_json(report: Report) -> dict[str, Any]:
    campaign, claims = report.campaigns[0], report.claims
    return {"schema": "shunt.claims/1", "experiment": campaign.name, "claims": [
        {"claim": c.text, "predicate": c.predicate, "line": c.expect.get("line"),
         "answer": c.answer, "reason": c.reason,
         "findings": [{"where": f.where, "machine_class": f.machine.partition(" ")[0], "answer": f.answer,
                       "ratio": number(f.comparison.ratio[0]), "low": number(f.comparison.ratio[1]),
                       "high": number(f.comparison.ratio[2]), "pairs": f.comparison.pairs,
                       "method": f.comparison.method, "left_out": f.comparison.left_out,
                       "p_holds": number(f.comparison.p_holm),
                       "p_fails": number(f.comparison.p_same), "runs": f.runs, "reason": f.reason}
                      for f in c.findings]} for c in claims],
            "objectives": objective.document(campaign), "notes": cautions(report)}


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "claims", help="answer each expectation of an experiment from its records",
        description="Answer each [[expect]]: confirmed, refuted, inconclusive or not testable "
                    "here, by p-values that are Holm-adjusted over the whole report. Exits 1 if "
                    "one is refuted.")
    p.add_argument("campaign", type=Path, metavar="CAMPAIGN")
    p.add_argument("--json", action="store_true", help="one JSON document instead of the text")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    campaign = load_campaign(args.campaign, needs())
    if not campaign.records:
        raise CampaignError(f"{args.campaign}: no records yet; "
                            f"`lab run {args.campaign}` makes them")
    report = analyse([campaign])
    claims = report.claims
    if args.json:
        json.dump(claims_json(report), sys.stdout, indent=1, allow_nan=False)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(table(report))
    return status_with([campaign], 1 if any(c.answer == REFUTED for c in claims) else 0)
