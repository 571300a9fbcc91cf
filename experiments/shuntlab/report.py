# SPDX-License-Identifier: MIT
"""`lab report`: a campaign as one HTML file that needs nothing else, now or in ten years.

The question and what came of it, the figures, every verdict, what the control and the noise were,
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

import numpy as np

from . import expectations as claim
from . import verdicts
from .analysis import Report, analyse
from .campaign import Campaign, CampaignError, load_campaign
from .compare import family_text, median_text, p_text, ratio_text, runs_text
from .effects import Section
from .files import must_stay, replacing
from .page import Raw, details, document, esc, svg, table, tag
from .points import Point, gather, in_brackets, manifest_of, scale_for

PLOTS = Path(__file__).resolve().parents[1] / "plots"
_KIND = {"faster": "good", "slower": "bad", "better": "good", "worse": "bad", "same": "good",
         claim.CONFIRMED: "good", claim.REFUTED: "bad", "control missed": "bad"}


# ---- the head -----------------------------------------------------------------------------------

def head(report: Report, claims: list[claim.Claim]) -> Iterator[str]:
    first = report.campaigns[0]
    plan = first.plan["experiment"]
    yield f"<h1>{esc(plan.get('title') or plan['name'])}</h1>"
    yield f'<p class="lead">{esc(plan.get("question", ""))}</p>'
    if plan.get("expectation"):
        yield f'<p class="soft">Expected: {esc(plan["expectation"])}</p>'
    yield ('<nav><a href="#claims">Claims</a><a href="#figures">Figures</a><a href="#verdicts">'
           'Verdicts</a><a href="#noise">Control and noise</a><a href="#machine">Machine</a>'
           '<a href="#commands">Commands</a></nav>')
    done = sum(len(c.ok()) for c in report.campaigns)
    expected = sum(c.expected() for c in report.campaigns)
    words = [c.verdict.word for s in report.sections for c in s.comparisons if not c.is_control]
    told = sum(w in (verdicts.FASTER, verdicts.SLOWER, verdicts.SAME) for w in words)
    missed = sum(s.missed for s in report.sections)
    boxes = [(f"{done} of {expected}", "runs with a result"), (f"{told} of {len(words)}",
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
        found = "; ".join(f"{f.where}: {ratio_text(f.comparison)}, {f.answer}"
                          + (f" ({f.runs} runs would settle it)" if f.runs else "")
                          + (f", {f.reason}" if f.reason else "") for f in c.findings) or c.reason
        rows.append([c.text, Raw(tag(c.answer, _KIND.get(c.answer, "open"))), c.predicate, found])
    yield '<div class="card">' + table(["claim", "answer", "in numbers", "found"], rows,
                                       {0: "wide", 2: "wide", 3: "wide"}) + "</div>"


# ---- figures ------------------------------------------------------------------------------------

def figures_part(campaigns: list[Campaign]) -> Iterator[str]:
    yield '<h2 id="figures">Figures</h2>'
    sys.path.insert(0, str(PLOTS))
    drawing = importlib.import_module("_figure")
    data = importlib.import_module("_data")
    with tempfile.TemporaryDirectory(prefix="shunt-report-") as folder:
        for number, spec in enumerate(drawing.specs(campaigns[0])):
            yield '<div class="card">'
            try:
                module = importlib.import_module(_script(spec))
                drawing.render(module, data.Context(campaigns, spec), Path(folder),
                               ("svg", "json", "csv"))
                yield from _figure(Path(folder), spec["name"], f"f{number}-")
            except (data.FigureError, CampaignError) as e:
                yield f'<p><b>{esc(spec["name"])}</b> is not drawn: {esc(e)}.</p>'
            yield "</div>"


def _script(spec: dict[str, Any]) -> str:
    kind = str(spec.get("kind", ""))
    if not (PLOTS / f"{kind}.py").is_file() or kind.startswith("_") or not kind.isidentifier():
        raise CampaignError(f"there is no figure kind {kind!r}")
    return kind


def _figure(folder: Path, name: str, prefix: str) -> Iterator[str]:
    import json
    told = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    text = told["caption"]
    rows = (folder / f"{name}.csv").read_text(encoding="utf-8")
    yield "<figure>"
    for file, css in ((f"{name}.svg", "desk"), (f"{name}-narrow.svg", "phone")):
        yield svg((folder / file).read_text(encoding="utf-8"), css, f"{prefix}{css}-", text)
    yield f"<figcaption>{esc(text)}</figcaption></figure>"
    if told["table"]:
        head, cells = told["table"]
        numbers = table(head, cells)
        # Of an objective the numbers are the answer.
        yield numbers if told["kind"] == "load" else details("in numbers", numbers)
    lines = rows.splitlines()
    shown = "\n".join(lines[:400]) + ("\n…" if len(lines) > 400 else "")
    yield details(f"what it drew: {len(lines) - 1} rows", f"<pre>{esc(shown)}</pre>")


# ---- verdicts, control, noise -------------------------------------------------------------------

def verdicts_part(report: Report) -> Iterator[str]:
    yield '<h2 id="verdicts">Verdicts</h2>'
    yield (f"<p>Every arm against {esc(report.baseline)}. Pairs are runs of one block; intervals "
           f"are Hodges-Lehmann's, by the exact signed-rank test. {esc(family_text(report))} A verdict "
           f"needs the whole interval on one side of the margin. {esc(runs_text(report))}</p>")
    for s in report.sections:
        yield from _section(s, report)
    if report.across:
        yield "<h3>Between the campaigns</h3>"
        yield (f"<p>The ratio to {esc(report.baseline)} in one against the same ratio in the "
               "other.</p>")
        rows = [[s.point.label, s.metric, report.machines[s.point.machine], c.arm, ratio_text(c),
                 p_text(c.p_holm), Raw(_verdict(s, c))]
                for s in report.across for c in s.comparisons]
        yield '<div class="card">' + table(["point", "metric", "where", "arm", "later over first",
                                            "p", "verdict"], rows, {4: "n"}) + "</div>"


def _section(s: Section, report: Report) -> Iterator[str]:
    divisor, unit = scale_for(min(x.median for x in s.summaries if x.n), s.unit)
    rows, marks = [], []
    for x in s.summaries:
        c = s.of(x.arm)
        lost = ", ".join(f"{n} {status}" for status, n in x.lost.items())
        ratio = ratio_text(c) if c else "baseline" if x.arm == report.baseline else (
            lost or "no pairs")
        rows.append([x.arm, Raw(_verdict(s, c) if c else ""), ratio, p_text(c.p_holm) if c else "",
                     median_text(x, divisor), x.n])
        marks.append("aa" if c and c.is_control else "")
    where = f" on {report.machines[s.point.machine]}" if len(report.machines) > 1 else ""
    yield (f'<div class="card"><h3>{esc(s.point.label)}: {esc(s.metric)}'
           f"{esc(in_brackets(unit, s.better))}{esc(where)}</h3>")
    yield table(["arm", "verdict", f"ratio to {report.baseline}", "p", "median", "runs"], rows,
                {2: "n", 4: "n"}, marks) + "</div>"


def _verdict(s: Section, c: Any) -> str:
    text = verdicts.word_for(c.verdict, s.unit, s.better)
    needed = c.verdict.runs
    runs = f" {needed if needed < 1000 else 'over 999'} runs" if needed else ""
    why = f' <span class="soft">{esc(c.verdict.reason)}</span>' if c.verdict.reason else ""
    return tag(text, _KIND.get(text, "open")) + esc(runs) + why


def noise_part(report: Report) -> Iterator[str]:
    yield '<h2 id="noise">Control and noise</h2>'
    yield ("<p>The control is the baseline run a second time in every block: its interval shows "
           "what no difference looks like here, and a difference smaller than its floor gets no "
           "verdict. Spread is the median absolute deviation of the runs; a run that stands far "
           "apart is flagged and kept.</p>")
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
        ["point", "metric", "arm", "spread", "apart", "steal ticks", "load", "A/A ratio", "floor",
         "control"], rows, {0: "n", 3: "n", 7: "n", 8: "n"}) + "</div>"
    yield from _lost(report.campaigns)


def _spread(values: list[float]) -> str:
    if not values or np.median(values) == 0:
        return "-"
    centre = float(np.median(values))
    return f"{100 * float(np.median(np.abs(np.array(values) - centre))) / abs(centre):.2g} %"


def _interference(point: Point, arm: str) -> tuple[str, str]:
    """Ticks the hypervisor took during the runs, and the highest load they began under."""
    steal, loads = 0, []
    known = False
    for r in point.runs.get(arm, {}).values():
        before, after = (r.get("interference", {}).get(k, {}) for k in ("before", "after"))
        if "steal_ticks" in before and "steal_ticks" in after:
            known = True
            steal += int(after["steal_ticks"]) - int(before["steal_ticks"])
        if "load1" in before:
            loads.append(float(before["load1"]))
    return str(steal) if known else "-", f"{max(loads):.2f}" if loads else "-"


def _lost(campaigns: list[Campaign]) -> Iterator[str]:
    reasons: dict[tuple[str, str, str, str], int] = {}
    for c in campaigns:
        for p in gather(c):
            for r in p.lost:
                key = (p.label, r["arm"], r["status"], r["reason"])
                reasons[key] = reasons.get(key, 0) + 1
        for p in c.plan["points"]:
            for e in p.get("excluded", []):
                reasons[p["id"], e.get("arm", ""), "excluded", e.get("why", "")] = 0
    if reasons:
        yield "<h3>Runs without a result</h3>"
        yield '<div class="card">' + table(
            ["point", "arm", "status", "runs", "why"],
            [[*k[:3], n or "-", k[3]] for k, n in reasons.items()], {4: "wide"}) + "</div>"


# ---- machine and commands -----------------------------------------------------------------------

def machine_part(report: Report) -> Iterator[str]:
    yield '<h2 id="machine">Machine</h2>'
    for machine, label in report.machines.items():
        found = {r["env_id"]: m for c in report.campaigns for r in c.records
                 if r["machine_class"] == machine and r["env_id"] and (m := manifest_of(r))}
        yield f'<div class="card"><h3>{esc(label)}</h3><p class="soft">class {esc(machine)}</p>'
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
        *verdicts_part(report), *noise_part(report), *machine_part(report),
        *commands_part(campaigns)])


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
    page = build([load_campaign(c) for c in args.campaigns])
    out = args.out or args.campaigns[0] / "report.html"
    if not args.out:
        must_stay(out, args.campaigns[0])
    with replacing(out) as draft:
        draft.write_text(page, encoding="utf-8")
    print(out)
    return 0
