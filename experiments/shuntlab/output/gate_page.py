# SPDX-License-Identifier: MIT
"""What a gate concludes from its comparisons: a status with reasons, for the terminal and for a CI's page."""

from __future__ import annotations

import dataclasses

from ..planning.campaign import Campaign
from ..planning.drivers import Driver
from ..statistics.analysis import Report
from ..statistics.effects import Section
from ..statistics.points import scale_for
from ..statistics.verdicts import FASTER, SAME, SLOWER
from .wording import family_text, median_text, ratio_text, verdict_text, wrapped

OLD, NEW = "old", "new"         # the arms
PASS, REGRESSION, OPEN = 0, 1, 2
WORDS = {PASS: "pass", REGRESSION: "regression", OPEN: "no answer"}


@dataclasses.dataclass
class Outcome:
    campaign: Campaign
    report: Report | None       # None: the runs cannot be compared
    code: int
    reasons: list[str]


def judged(campaign: Campaign, report: Report) -> Outcome:
    """Slower in one metric is a regression; short of that, every metric needs an answer."""
    slower, unsure = [], []
    for s in report.sections:
        c = s.of(NEW)
        said = f"{s.point.label}: {s.metric} {ratio_text(c)}" if c else f"{s.point.label}: {s.metric}: no pairs"
        word = c.verdict.word if c else ""
        if word == SLOWER and s.better != "none":
            slower.append(f"slower: {said}")
        elif word not in (SAME, FASTER, SLOWER):
            unsure.append(f"{verdict_text(c, s) if c else 'not compared'}: {said}")
    if not report.sections:
        unsure = ["no run of the new build has a value"]
    count, margin = len(report.sections), 100 * report.rules.margin
    code = REGRESSION if slower else OPEN if unsure else PASS
    return Outcome(campaign, report, code, slower + unsure or [
        f"{count} metric{'s' * (count != 1)} compared, none slower than by {margin:g} %"])


def conclusion(outcome: Outcome) -> list[str]:
    """The last lines of the terminal."""
    return [line for reason in outcome.reasons for line in wrapped(f"{WORDS[outcome.code].upper()}: {reason}")]


def markdown(outcome: Outcome, builds: dict[str, Driver]) -> str:
    lines = [f"### shunt gate: {WORDS[outcome.code]}", ""]
    lines += [f"- {_plain(reason)}" for reason in outcome.reasons] + [""]
    report = outcome.report
    if report:
        lines += ["| | metric | old | new | new / old | verdict |", "|---|---|---|---|---|---|"]
        lines += [_row(s) for s in report.sections] + ["", _plain(family_text(report)), ""]
        lines += [f"- {_plain(note)}" for note in report.notes] + [""]
    lines += [f"- {name}: version {_plain(d.version)}, build `{d.build_id[:12]}`" for name, d in builds.items()]
    return "\n".join(lines) + "\n"


def _row(s: Section) -> str:
    arms, c = {x.arm: x for x in s.summaries}, s.of(NEW)
    divisor, unit = scale_for(min(x.median for x in s.summaries if x.n), s.unit)
    cells = [median_text(arms[name], divisor) + f" {unit}" if name in arms else "" for name in (OLD, NEW)]
    cells = [s.point.label, s.metric, *cells, ratio_text(c) if c else "", verdict_text(c, s) if c else "no pairs"]
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Without what Markdown or HTML would take for its own: names and reasons come from programs."""
    return "".join(f"&#{ord(c)};" if c in "|<>&`*" else c if c.isprintable() else " " for c in text)
