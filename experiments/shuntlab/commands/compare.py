# SPDX-License-Identifier: MIT
"""`lab compare`: which arm is faster, by how much, and how sure that is, in 80 columns or JSON."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from ..output.wording import (WIDTH, family_text, lost_text, median_text, number, p_text, ratio_text,
                              runs_text, several, verdict_text, wrapped)
from ..planning.campaign import load_campaign, status_with
from ..planning.kept_plan import CampaignError
from ..statistics.analysis import Report, analyse, no_run_has
from ..statistics.effects import Section
from ..statistics.needs import needs
from ..statistics.points import in_brackets, scale_for
from ..statistics.values import series_of
from ..statistics.verdicts import Comparison, exp

# ---- the table ----------------------------------------------------------------------------------

# Column widths; with the indent of 1 they leave 19 for "inconclusive (>999)".
_ARM, _MEDIAN, _RATIO, _P = 13, 19, 22, 6


def section_lines(s: Section, report: Report) -> list[str]:
    """One section of the table; no line is longer than WIDTH."""
    middle = [x.median for x in s.summaries if x.n]
    divisor, unit = scale_for(min(middle), s.unit)
    each = " of each run" if series_of(s.metric) else ""
    lines = wrapped(f"{s.point.label}: {s.metric}{each}{in_brackets(unit, s.better)}")
    over = f"ratio to {report.baseline}"
    lines += _row("arm", ["median", over if len(over) < _RATIO else "ratio", "p",
                          "verdict (runs)"])
    for x in s.summaries:
        c = s.of(x.arm)
        cells = [median_text(x, divisor), ratio_text(c) if c else "",
                 p_text(c.p_holm) if c else "", verdict_text(c, s) if c else ""]
        if x.arm == report.baseline:
            cells[1] = "baseline"
        elif not c:
            cells[1] = lost_text(x) or "no pairs"
        lines += _row(x.arm, cells)
        why = [] if not c or s.missed else [c.verdict.reason]
        lines += _reason(*why, lost_text(x) if c or x.arm == report.baseline else "")
    return lines


def _reason(*texts: str) -> list[str]:
    """What a row must add, on lines of their own below its verdict."""
    return textwrap.wrap("; ".join(t for t in texts if t), WIDTH, initial_indent=" " * (_ARM + 1),
                         subsequent_indent=" " * (_ARM + 1))


def _row(name: str, cells: list[str]) -> list[str]:
    """A row; a text that does not fit its column pushes the rest to a line of its own."""
    lines, line, column = [], "", 1
    for text, width in zip([name, *cells], (_ARM, _MEDIAN, _RATIO, _P, 0)):
        if text:
            if line and len(line) >= column:
                lines.append(line)
                line = ""
            line = f"{line:<{column}}{text}"
        column += width
    return [part[:WIDTH] for part in [*lines, line]]


def across_lines(s: Section, report: Report) -> list[str]:
    lines = wrapped(f"{s.point.label}: {s.metric}, later over first")
    for c in s.comparisons:
        own = f"{c.arm} itself" if c.arm == report.baseline else c.arm
        lines += _row(own, [f"n = {c.pairs}", ratio_text(c), p_text(c.p_holm), verdict_text(c, s)])
        lines += _reason(c.verdict.reason) if c.is_control or not s.missed else []
    return lines


def table(report: Report) -> str:
    first = report.campaigns[0]
    plan = first.plan["experiment"]
    out = wrapped(f"{plan['name']}: {plan.get('question', '')}")
    machine = ""
    for s in report.sections:
        here = f"{report.machines.get(s.point.machine, '')}"
        if len(report.campaigns) > 1:
            here = f"{s.point.campaign.path.name}: {here}"
        if here != machine:
            out += ["", *wrapped(f"== {here}")]
            machine = here
        out += ["", *section_lines(s, report)]
    if report.across:
        out += ["", f"== between the {several(report)}: ratio to {report.baseline} against ratio"]
        for s in report.across:
            out += ["", *across_lines(s, report)]
    return "\n".join(out + ["", *_footer(report)]) + "\n"


def _footer(report: Report) -> list[str]:
    lines = [family_text(report)]
    if any(c.verdict.runs for s in report.sections for c in s.comparisons):
        lines.append(runs_text(report))
    missed = [s for s in report.sections if s.missed]
    for s in missed[:5]:
        lines.append(f"no verdict at {s.point.label}: {s.control.reason}")
    if len(missed) > 5:
        lines.append(f"no verdict at {len(missed) - 5} more points, by their A/A controls")
    flagged = sum(len(x.outliers) for s in report.sections for x in s.summaries)
    if flagged:
        lines.append(f"{flagged} outlier{'s' * (flagged > 1)} (kept; --json lists the runs).")
    out: list[str] = []
    for line in lines + report.notes:
        out += wrapped(line)
    return out


# ---- JSON ---------------------------------------------------------------------------------------

def comparison_json(c: Comparison) -> dict[str, Any]:
    ratio, low, high = c.ratio
    return {"arm": c.arm, "over": c.over, "control": c.is_control, "method": c.method,
            "pairs": c.pairs, "left_out": c.left_out, "ratio": number(ratio), "low": number(low),
            "high": number(high), "level": c.level, "p": c.p, "p_holm": number(c.p_holm),
            "p_same": number(c.p_same), "p_serial": c.p_serial,
            "by_node": {n: {"pairs": len(d), "ratio": number(exp(float(np.median(d))))}
                        for n, d in c.by_node.items()},
            "verdict": c.verdict.word, "reason": c.verdict.reason, "runs": c.verdict.runs}


def section_json(s: Section, report: Report) -> dict[str, Any]:
    return {"campaign": str(s.point.campaign.path), "machine_class": s.point.machine_class,
            "machine": report.machines.get(s.point.machine, ""), "nodes": s.point.nodes, "point": s.point.id,
            "workload": s.point.workload, "axes": s.point.axes, "metric": s.metric,
            "unit": s.unit, "better": s.better,
            "arms": [{"arm": x.arm, "n": x.n, "median": number(x.median), "low": number(x.low),
                      "high": number(x.high), "outliers": x.outliers, "lost": x.lost}
                     for x in s.summaries],
            "control": s.control.state if s.control else None,
            "comparisons": [comparison_json(c) for c in s.comparisons]}


def report_json(report: Report) -> dict[str, Any]:
    r = report.rules
    return {"schema": "shunt.compare/1", "experiment": report.campaigns[0].name,
            "baseline": report.baseline,
            "rules": {"margin": r.margin, "alpha": r.alpha, "detect": r.detect,
                      "power": r.power, "family": r.family},
            "sections": [section_json(s, report) for s in report.sections],
            "between": [section_json(s, report) for s in report.across],
            "notes": report.notes}


# ---- the command --------------------------------------------------------------------------------

def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "compare", help="compare the arms of a campaign, or campaigns with each other",
        description="Compare every arm with the baseline, within blocks; with several campaigns "
                    "compare also their ratios with each other.")
    p.add_argument("campaigns", nargs="+", type=Path, metavar="CAMPAIGN")
    p.add_argument("--baseline", default="", metavar="ARM", help="compare with this arm instead")
    p.add_argument("--metric", action="append", default=[], metavar="NAME",
                   help="compare this metric (may be given again); SERIES.p99 for a quantile, "
                        "processor.instructions_per_op for a count of the processor")
    p.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    report = analyse([load_campaign(c, needs(args.metric)) for c in args.campaigns], args.baseline, args.metric)
    if not report.sections:
        raise CampaignError(f"{args.campaigns[0]}: nothing to compare yet" + "".join(
            f"; {text}" for text in no_run_has(report.campaigns[0], args.metric)))
    if args.json:
        json.dump(report_json(report), sys.stdout, indent=1, allow_nan=False)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(table(report))
    return status_with(report.campaigns, 0)
