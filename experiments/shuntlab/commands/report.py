# SPDX-License-Identifier: MIT
"""`lab report`: a campaign as one HTML file that needs nothing else, now or in ten years.

The question and what came of it, the figures, every verdict, what the control and the noise were, what was counted,
the machine, and the command that reproduces each point.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

from ..output.counted_page import counted_part
from ..output.page import Raw, details, document, esc, svg, table, tag
from ..output.verdict_page import nodes_part, noise_part, verdicts_part
from ..output.wording import ratio_text
from ..planning.campaign import Campaign, load_campaign, status_with
from ..planning.figure_kinds import PLOTS, named
from ..planning.kept_plan import CampaignError, is_mended
from ..statistics import expectations as claim
from ..statistics.analysis import Report, analyse
from ..statistics.disturbance import disturbed
from ..statistics.points import gather, manifest_of
from ..statistics.strata import machine_key, strata_of
from ..statistics.verdicts import FASTER, SAME, SLOWER
from ..tools.files import must_stay, replacing
from .claims import finding_text

_KIND = {claim.CONFIRMED: "good", claim.REFUTED: "bad"}


# ---- the head -----------------------------------------------------------------------------------

def head(report: Report, claims: list[claim.Claim]) -> Iterator[str]:
    first = report.campaigns[0]
    plan = first.plan["experiment"]
    yield f"<h1>{esc(plan.get('title') or plan['name'])}</h1>"
    yield f'<p class="lead">{esc(plan.get("question", ""))}</p>'
    trouble = disturbed(report.campaigns)
    if trouble:
        yield f'<p class="trouble"><b>Disturbed:</b> {esc("; ".join(trouble))}.</p>'
    if plan.get("expectation"):
        yield f'<p class="soft">Expected: {esc(plan["expectation"])}</p>'
    yield ('<nav><a href="#claims">Claims</a><a href="#figures">Figures</a><a href="#verdicts">'
           'Verdicts</a><a href="#noise">Control and noise</a><a href="#counters">Counters</a>'
           '<a href="#machine">Machine</a><a href="#commands">Commands</a></nav>')
    done = sum(len(c.ok()) for c in report.campaigns)
    expected = sum(c.expected() for c in report.campaigns)
    words = [c.verdict.word for s in report.sections for c in s.comparisons if not c.is_control]
    decided = sum(w in (FASTER, SLOWER, SAME) for w in words)
    missed = sum(s.missed for s in report.sections)
    boxes = [(f"{done} of {expected}", "runs with a result"), (f"{decided} of {len(words)}",
             "comparisons with a verdict"), (str(missed), "controls missed"),
             (first.plan.get("created", "")[:10], "plan " + first.plan.get("plan_id", "")[:8])]
    if claims:
        held = sum(c.answer == claim.CONFIRMED for c in claims)
        boxes.insert(0, (f"{held} of {len(claims)}", "claims confirmed"))
    yield '<div class="facts">' + "".join(f"<div><b>{esc(a)}</b>{esc(b)}</div>"
                                          for a, b in boxes) + "</div>"
    if report.notes:
        yield "<ul>" + "".join(f"<li>{esc(n)}</li>" for n in report.notes) + "</ul>"


def claims_part(claims: list[claim.Claim]) -> Iterator[str]:
    yield '<h2 id="claims">Claims</h2>'
    if not claims:
        yield '<p class="soft">The experiment expects nothing.</p>'
        return
    rows = []
    for c in claims:
        found = "; ".join(f"{f.where}: {ratio_text(f.comparison)}, {finding_text(f)}"
                          for f in c.findings) or c.reason
        rows.append([c.text, Raw(tag(c.answer, _KIND.get(c.answer, "open"))), c.predicate, found])
    yield '<div class="card">' + table(["claim", "answer", "in numbers", "found"], rows,
                                       {0: "wide", 2: "wide", 3: "wide"}) + "</div>"


# ---- figures ------------------------------------------------------------------------------------

def figures_part(campaigns: list[Campaign]) -> Iterator[str]:
    yield '<h2 id="figures">Figures</h2>'
    if is_mended(campaigns[0].plan):
        yield ('<p class="soft">The figures were changed after the plan was frozen. What is judged, and '
               'how, was not.</p>')
    sys.path.insert(0, str(PLOTS))
    drawing = importlib.import_module("_figure")
    data = importlib.import_module("_data")
    with tempfile.TemporaryDirectory(prefix="shunt-report-") as folder:
        for number, spec in enumerate(named(campaigns[0].plan)):
            yield '<div class="card">'
            try:
                module = importlib.import_module(spec["kind"])
                drawing.render(module, data.Context(campaigns, spec), Path(folder),
                               ("svg", "json", "csv"))
                yield from _figure(Path(folder), spec["name"], f"f{number}-")
            except (data.FigureError, CampaignError) as e:
                yield f'<p><b>{esc(spec["name"])}</b> is not drawn: {esc(e)}.</p>'
            yield "</div>"


def _figure(folder: Path, name: str, prefix: str) -> Iterator[str]:
    import json
    said = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    text = said["caption"]
    rows = (folder / f"{name}.csv").read_text(encoding="utf-8")
    yield "<figure>"
    for file, css in ((f"{name}.svg", "desk"), (f"{name}-narrow.svg", "phone")):
        yield svg((folder / file).read_text(encoding="utf-8"), css, f"{prefix}{css}-", text)
    yield f"<figcaption>{esc(text)}</figcaption></figure>"
    if said["table"]:
        head, cells = said["table"]
        numbers = table(head, cells)
        # Of an objective the numbers are the answer.
        yield numbers if said["kind"] == "load" else details("in numbers", numbers)
    lines = rows.splitlines()
    shown = "\n".join(lines[:400]) + ("\n…" if len(lines) > 400 else "")
    yield details(f"what it drew: {len(lines) - 1} rows", f"<pre>{esc(shown)}</pre>")


# ---- machine and commands -----------------------------------------------------------------------

def machine_part(report: Report) -> Iterator[str]:
    yield '<h2 id="machine">Machine</h2>'
    for machine, label in report.machines.items():
        found = {r["env_id"]: m for c in report.campaigns for r in c.records
                 if strata_of(c)[machine_key(r)] == machine and r["env_id"] and (m := manifest_of(r))}
        yield f'<div class="card"><h3>{esc(label)}</h3><p class="soft">class {esc(machine.partition(" ")[0])}</p>'
        if not found:
            yield "<p>No manifest lies beside the records.</p>"
        for env_id, manifest in found.items():
            yield details(f"manifest {env_id[:12]}", _manifest(manifest))
        yield "</div>"


def _manifest(manifest: dict[str, Any]) -> str:
    rows, long = [], []
    for group in ("facts", "volatile"):
        for name, f in sorted(manifest.get(group, {}).items()):
            value = f.get("value")
            if isinstance(value, dict):
                value = ", ".join(f"{k} {v}" for k, v in value.items())
            elif isinstance(value, list):
                value = ", ".join(map(str, value))
            if isinstance(value, str) and len(value) > 300:
                long.append(details(name, f"<pre>{esc(value)}</pre>"))
                value = "below"
            rows.append([name, value if "value" in f else f"absent: {f.get('absent', '')}",
                         f.get("source", "")])
    return table(["fact", "value", "source"], rows, {1: "wide"}) + "".join(long)


def commands_part(campaigns: list[Campaign]) -> Iterator[str]:
    yield '<h2 id="commands">Commands</h2>'
    yield "<p>One run of each arm at each point, as it was made; it needs nothing of the lab.</p>"
    for c in campaigns:
        if len(campaigns) > 1:
            yield f"<h3>{esc(c.path.name)}</h3>"
        for p in gather(c):
            lines = [f"{arm}: {shlex.join(_stand_alone(next(iter(p.runs[arm].values()))))}"
                     for arm in p.runs]
            if lines:
                yield '<div class="card">' + details(p.label, "<pre>" + "\n".join(
                    esc(line) for line in lines) + "</pre>") + "</div>"


def _stand_alone(record: dict[str, Any]) -> list[str]:
    """The command of a run without the options by which the lab files its record."""
    argv, found, skip = record["argv"], [], False
    for word_ in argv:
        if skip:
            skip = False
        elif word_ in ("--record", "--arm", "--repetition", "--block"):
            skip = True
        elif not word_.startswith(("--record=", "--arm=", "--repetition=", "--block=")):
            found.append(word_)
    return found


# ---- the command --------------------------------------------------------------------------------

def build(campaigns: list[Campaign]) -> str:
    """The whole page."""
    report = analyse(campaigns)
    if not report.sections:
        raise CampaignError(f"{campaigns[0].path}: no finished run to report yet")
    title = campaigns[0].plan["experiment"].get("title") or campaigns[0].name
    return document(f"{title} · shunt", [
        *head(report, report.claims), *claims_part(report.claims), *figures_part(campaigns),
        *verdicts_part(report), *nodes_part(report), *noise_part(report), *counted_part(campaigns),
        *machine_part(report), *commands_part(campaigns)])


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "report", help="one HTML page: figures, verdicts, machine, commands",
        description="Write one self-contained HTML page about a campaign, or about several that "
                    "belong together.")
    p.add_argument("campaigns", nargs="+", type=Path, metavar="CAMPAIGN")
    p.add_argument("--out", type=Path, metavar="FILE",
                   help="default: report.html in the (first) campaign")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    campaigns = [load_campaign(c) for c in args.campaigns]
    page = build(campaigns)
    out = args.out or args.campaigns[0] / "report.html"
    if not args.out:
        must_stay(out, args.campaigns[0])
    with replacing(out) as draft:
        draft.write_text(page, encoding="utf-8")
    print(out)
    return status_with(campaigns, 0)
