# SPDX-License-Identifier: MIT
"""The verdicts of the report page: one matrix, the numbers behind each row, control and noise."""

from __future__ import annotations

import re
from typing import Any, Iterator

import numpy as np

from ..data.records import kind_of_reason
from ..planning.campaign import Campaign
from ..statistics import verdicts
from ..statistics.analysis import Report
from ..statistics.disturbance import steal_ticks
from ..statistics.effects import Ratios, Section, compare_paired
from ..statistics.points import Point, gather, in_brackets, scale_for
from ..statistics.values import series_of
from ..statistics.strata import groups_of
from ..statistics.verdicts import Comparison
from .page import Raw, details, esc, table, tag
from .wording import family_text, lost_text, median_text, p_text, ratio_text, runs_text, several

OWN_QUANTILE = ("A quantile in this part is each run's own, and the median of the runs is given. A "
                "figure of kind ccdf pools the samples of all runs: its p99 is another number.")


def verdicts_part(report: Report) -> Iterator[str]:
    yield '<h2 id="verdicts">Verdicts</h2>'
    yield (f"<p>Every arm against {esc(report.baseline)}: the ratio of the two, from pairs of one "
           f"block (Hodges-Lehmann, exact signed-rank test). {esc(family_text(report))} A verdict needs "
           f"the whole interval on one side of the margin. {esc(runs_text(report))}</p>")
    if any(is_quantile(s.metric) for s in report.sections):
        yield f"<p>{OWN_QUANTILE}</p>"
    yield '<div class="card">' + _matrix(report) + "</div>"
    yield "<h3>The numbers of each row</h3>"
    yield '<div class="card">' + "".join(
        details(heading(s, report), _numbers(s, report)) for s in report.sections) + "</div>"
    if report.across:
        yield f"<h3>Between the {several(report)}</h3>"
        yield (f"<p>The ratio to {esc(report.baseline)} in one against the same ratio in the "
               "other.</p>")
        rows = [[s.point.label, s.metric, report.machines[s.point.machine], c.arm, ratio_text(c),
                 p_text(c.p_holm), Raw(_verdict(s, c))]
                for s in report.across for c in s.comparisons]
        yield '<div class="card">' + table(["point", "metric", "where", "arm", "later over first",
                                            "p", "verdict"], rows, {4: "n"}) + "</div>"


def is_quantile(metric: str) -> bool:
    return series_of(metric) is not None or bool(re.search(r"_p\d+(_|$)", metric))


def heading(s: Section, report: Report) -> str:
    _, unit = scale_for(min(x.median for x in s.summaries if x.n), s.unit)
    where = f" on {report.machines[s.point.machine]}" if len(report.machines) > 1 else ""
    own = " of each run" if is_quantile(s.metric) else ""
    return f"{s.point.label}: {s.metric}{own}{in_brackets(unit, s.better)}{where}"


def _matrix(report: Report) -> str:
    """A row a point and metric, a column an arm, the control first."""
    arms = list(dict.fromkeys(x.arm for s in report.sections for x in s.summaries
                              if x.arm != report.baseline))
    several = len({s.metric for s in report.sections}) > 1
    rows = [[_row_name(s, report, several), *(Raw(_cell(s, arm)) for arm in arms)]
            for s in report.sections]
    return table(["point", *arms], rows, {0: "head"})


def _row_name(s: Section, report: Report, several: bool) -> str:
    machine = f" on {report.machines[s.point.machine]}" if len(report.machines) > 1 else ""
    return s.point.label + (f": {s.metric}" if several else "") + machine


def _cell(s: Section, arm: str) -> str:
    c = s.of(arm)
    if c is None:
        lost = next((lost_text(x) for x in s.summaries if x.arm == arm), "")
        return f'<span class="soft">{esc(lost or "not run")}</span>'
    return _tag(s, c) + f"<br>{esc(ratio_text(c).partition(' [')[0])}"


def _tag(s: Section, c: Comparison) -> str:
    good = {verdicts.FASTER: "good", verdicts.SLOWER: "bad", verdicts.SAME: "good",
            "control missed": "bad"}
    kind = "open" if s.better == "none" else good.get(c.verdict.word, "open")
    return tag(verdicts.word_for(c.verdict, s.unit, s.better), kind)


def _verdict(s: Section, c: Comparison) -> str:
    needed = c.verdict.runs
    runs = f" {needed if needed < 1000 else 'over 999'} runs" if needed else ""
    why = f' <span class="soft">{esc(c.verdict.reason)}</span>' if c.verdict.reason else ""
    return _tag(s, c) + esc(runs) + why


def _numbers(s: Section, report: Report) -> str:
    divisor, _ = scale_for(min(x.median for x in s.summaries if x.n), s.unit)
    rows, marks = [], []
    for x in s.summaries:
        c = s.of(x.arm)
        ratio = ratio_text(c) if c else "baseline" if x.arm == report.baseline else "no pairs"
        rows.append([x.arm, Raw(_verdict(s, c) if c else ""), ratio, p_text(c.p_holm) if c else "",
                     median_text(x, divisor), x.n, lost_text(x)])
        marks.append("aa" if c and c.is_control else "")
    return table(["arm", "verdict", f"ratio to {report.baseline}", "p", "median", "runs", "lost"],
                 rows, {2: "n", 4: "n"}, marks)


# ---- nodes --------------------------------------------------------------------------------------

def nodes_part(report: Report) -> Iterator[str]:
    """Node against node, where a campaign has runs of several machines of one class."""
    for campaign in report.campaigns:
        for machine_class, groups in groups_of(campaign).items():
            own = [s for s in report.sections if s.point.campaign is campaign
                   and s.point.machine_class == machine_class]
            yield "<h3>Node against node</h3>"
            yield ("<p>The baseline's time on each node, and each arm's ratio to the baseline there, from pairs of "
                   "that node alone. Nodes that are not alike are compared apart.</p>")
            yield '<div class="card">' + _speeds(groups) + _ratios_by_node(report, own, groups) + "</div>"


def _speeds(groups: list[dict[str, float]]) -> str:
    return table(["node", "alike with", "baseline, by the fastest"],
                 [[node, ", ".join(n for n in group if n != node) or "none", f"{x:.3f}"]
                  for group in groups for node, x in group.items()])


def _ratios_by_node(report: Report, sections: list[Section], groups: list[dict[str, float]]) -> str:
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for s in sections:
        for c in s.comparisons:
            row = rows.setdefault((s.point.label, s.metric, c.arm), {})
            row.update({n: ratio_text(own) for n in c.by_node
                        if (own := compare_paired(Ratios(c.by_node[n], 0), c.arm, c.over, c.is_control, report.rules))})
    nodes = [node for group in groups for node in group]
    return table(["point", "metric", "arm", *nodes],
                 [[*key, *(row.get(n, "-") for n in nodes)] for key, row in rows.items()])


# ---- control and noise --------------------------------------------------------------------------

def noise_part(report: Report) -> Iterator[str]:
    yield '<h2 id="noise">Control and noise</h2>'
    yield ("<p>The control is the baseline run a second time in every block: its interval shows "
           "what no difference looks like here, and a difference smaller than its floor gets no "
           "verdict. Spread is the median absolute deviation of the runs; an outlier (modified "
           "z-score above 3.5) is flagged and kept.</p>")
    rows = []
    for s in report.sections:
        aa = next((c for c in s.comparisons if c.is_control), None)
        state = s.control.state if s.control else "none"
        floor = verdicts.percent(s.control.floor) if state == verdicts.OK else "-"
        state = tag(state, {verdicts.OK: "good", verdicts.MISSED: "bad"}.get(state, "open"))
        for x in s.summaries:
            values = [v.number for v in s.point.values(x.arm, s.metric).values()]
            steal, load = _interference(s.point, x.arm)
            rows.append([s.point.label, s.metric, x.arm, _spread(values), len(x.outliers), steal,
                         load, *([ratio_text(aa) if aa else "-", floor, Raw(state)]
                                 if x.arm == report.baseline else ["", "", ""])])
    yield '<div class="card">' + table(
        ["point", "metric", "arm", "spread", "outliers", "steal ticks", "load", "A/A ratio",
         "floor", "control"], rows, {0: "n", 3: "n", 7: "n", 8: "n"}) + "</div>"
    yield from _lost(report.campaigns)


def _spread(values: list[float]) -> str:
    if not values or np.median(values) == 0:
        return "-"
    centre = float(np.median(values))
    return f"{100 * float(np.median(np.abs(np.array(values) - centre))) / abs(centre):.2g} %"


def _interference(point: Point, arm: str) -> tuple[str, str]:
    """Ticks the hypervisor took during the runs, and the highest load they began under."""
    runs = point.runs.get(arm, {}).values()
    ticks = [t for r in runs if (t := steal_ticks(r)) is not None]
    loads = [float(load) for r in runs
             if (load := r.get("interference", {}).get("before", {}).get("load1")) is not None]
    return str(sum(ticks)) if ticks else "-", f"{max(loads):.2f}" if loads else "-"


def _lost(campaigns: list[Campaign]) -> Iterator[str]:
    reasons: dict[tuple[str, str, str, str], tuple[Any, str]] = {}      # runs, the first one's reason
    for c in campaigns:
        for p in gather(c):
            for r in p.lost:
                key = (p.label, r["arm"], r["status"], kind_of_reason(r["reason"]))
                runs, first = reasons.get(key, (0, r["reason"]))
                reasons[key] = (runs + 1, first)
        for p in c.plan["points"]:
            for e in p.get("excluded", []):
                why = e.get("why", "")
                reasons[p["id"], e.get("arm", ""), "excluded", why] = ("-", why)
    if reasons:
        yield "<h3>Runs without a result</h3>"
        yield '<div class="card">' + table(
            ["point", "arm", "status", "runs", "why"],
            [[*k[:3], n, first] for k, (n, first) in reasons.items()], {4: "wide"}) + "</div>"
