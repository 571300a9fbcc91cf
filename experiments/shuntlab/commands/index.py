# SPDX-License-Identifier: MIT
"""`lab index`: writes experiments/claims.md, from each claim to its command, cost and figure.

For whoever evaluates the artifact: nothing in the document is written by hand. The claims are the
[[expect]] tables of the experiments, the minutes and the memory are their `cost`, and the answers
come from the campaigns in results/reference, where there is one.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

from ..planning import campaign, journal
from ..planning.experiment import Experiment, SpecError, predicate
from ..planning.toml_spec import load
from ..running import opening
from ..tools.units import show_span

HEAD = """\
# Claims, and how to check each

Every claim that shunt makes about a number is an expectation of an experiment, written before it was
run and answered by `lab claims`: confirmed, refuted, inconclusive, or not testable on the machine at
hand. This file is generated (`experiments/lab index`); the claims stand in the experiments.

For every experiment:

```
experiments/lab run NAME                                   # run it, or go on with it
experiments/lab claims results/NAME-DATE                   # the answers
experiments/lab report results/NAME-DATE                   # one page: tables, figures, machine
make -f Makefile.plot figures CAMPAIGN=results/NAME-DATE   # the figures for a paper
```

Minutes and memory are of a machine with two CPUs; more CPUs add workers to some experiments.
"""


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "index", help="write experiments/claims.md: each claim, its command, minutes and figure",
        description="Write experiments/claims.md from the experiments and the reference campaigns. "
                    "With --measure, say what a campaign cost, for an experiment's `cost`.")
    p.add_argument("--out", type=Path, metavar="FILE", help="write here (- for stdout)")
    p.add_argument("--check", action="store_true",
                   help="write nothing; exit 1 if the file is not what would be written")
    p.add_argument("--measure", type=Path, metavar="CAMPAIGN",
                   help="print the minutes and the memory that a campaign took")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    if args.measure:
        return _measure(args.measure)
    text = document()
    file = args.out or opening.experiments_folder() / "claims.md"
    if str(file) == "-":
        sys.stdout.write(text)
        return 0
    if args.check:
        now = file.read_text(encoding="utf-8") if file.is_file() else ""
        changes = difflib.unified_diff(now.splitlines(), text.splitlines(), str(file), "generated",
                                       lineterm="", n=1)
        sys.stdout.writelines(line + "\n" for line in changes)
        return 0 if now == text else 1
    file.write_text(text, encoding="utf-8")
    print(f"wrote {opening.shown(file)}")
    return 0


def document() -> str:
    found = [load(f) for f in sorted(opening.experiments_folder().glob("*.toml"))]
    parts = [HEAD, _summary(found)]
    parts += [_section(e) for e in found if e.expect]
    return "\n".join(parts)


def _summary(found: list[Experiment]) -> str:
    rows = ["| experiment | question | claims | minutes | memory |", "|---|---|---|---|---|"]
    for e in found:
        link = f"[{e.name}](#{e.name})" if e.expect else e.name
        rows.append(f"| {link} | {_cell(e.question)} | {len(e.expect) or ''} "
                    f"| {e.cost.get('minutes', '')} | {e.cost.get('memory', '')} |")
    return "\n".join(rows) + "\n"


def _section(e: Experiment) -> str:
    minutes = e.cost.get("minutes", "?")
    out = [f"## {e.name}", "", f"{e.title}. `experiments/lab run {e.name}` "
           f"({e.file.name}; about {minutes} minute{'' if minutes == 1 else 's'}, "
           f"{e.cost.get('memory', '?')} at most).", ""]
    figures = [_figure(e, i, f) for i, f in enumerate(e.figures)]
    if figures:
        out += [f"Figures: {', '.join(figures)}.", ""]
    answers = _answers(e)
    head = ["claim", "tested as"] + (["answer"] if answers else [])
    out += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for i, x in enumerate(e.expect):
        cells = [_cell(x["claim"]), f"`{predicate(x)}`"]
        if answers:
            cells.append(answers[i])
        out.append("| " + " | ".join(cells) + " |")
    if answers:
        out += ["", f"Answered from `results/reference/{e.name}`."]
    return "\n".join(out) + "\n"


def _figure(e: Experiment, index: int, figure: dict[str, Any]) -> str:
    named = figure.get("name") or f"{e.name}-{figure['kind']}"
    shown = figure.get("y") or figure.get("series") or ""
    shown = f" of {shown}" if isinstance(shown, str) and shown else ""
    return f"`{named}` ({figure['kind']}{shown})"


def _answers(e: Experiment) -> list[str]:
    """What the reference campaign of an experiment says, or an empty list where there is none."""
    name = e.name
    folder = opening.experiments_folder().parent / "results" / "reference" / name
    if not opening.is_campaign(folder):
        return []
    from . import claims
    loaded = campaign.load_campaign(folder)
    said = {predicate(c.expect): c.answer for c in claims.judge_all(loaded)}
    return [said.get(predicate(x), "not asked yet") for x in e.expect]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _seconds(record: dict[str, Any], known: dict[str, list[dict[str, Any]]]) -> float:
    """What a run took as a process; from its record alone where no journal tells."""
    lines = known.get(Path(record["lab"]["file"]).name)
    return lines[-1]["elapsed_s"] if lines else int(record["times"]["elapsed_ns"]) / 1e9


def _measure(path: Path) -> int:
    loaded = campaign.load_campaign(path)
    if not loaded.records:
        raise SpecError([f"{path}: no records yet"])
    done = [_seconds(r, known) for part in loaded.parts or [loaded]
            for known in [journal.accepted(part.path)] for r in part.records]
    all_s = sum(done) / len(done) * loaded.expected()
    peak = max(r["usage"].get("peak_rss_bytes", 0) for r in loaded.records)
    print(f"{loaded.name}: {len(done)} of {loaded.expected()} runs, {show_span(sum(done))} so far, "
          f"{show_span(all_s)} in all; {peak / 2 ** 20:.0f} MiB at most")
    return 0
