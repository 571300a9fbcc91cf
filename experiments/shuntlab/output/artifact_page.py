# SPDX-License-Identifier: MIT
"""The page of an artifact: what is in it, how to check it, each claim with its command, the badges."""

from __future__ import annotations

import dataclasses
from typing import Any, Iterable

from ..planning.drivers import OWN
from ..tools.units import show_span
from .artifact_plugins import PlugIn


@dataclasses.dataclass
class ClaimRow:
    """A claim, and what it takes to repeat the runs that it rests on."""
    claim: str
    predicate: str      # what is tested; the answer stays the same within its bounds
    answer: str
    measured: str
    blocks: str         # of the plan, as --block takes them; empty: no run has it
    seconds: float
    lacks: list[str] = dataclasses.field(default_factory=list)      # what it needs and this file does not hold


@dataclasses.dataclass
class Facts:
    name: str
    plan: dict[str, Any]
    plan_at: str                # its place in the artifact
    commit: str
    measured: str               # the commit that the records' program was built from
    machine: list[str]
    claims: list[ClaimRow]
    chosen: int | None          # the claim that the check repeats
    figures: list[str]
    packages: list[str]
    runs: int
    seconds: float
    peak_bytes: int
    plugins: list[PlugIn] = dataclasses.field(default_factory=list)


# What is required, for which badge, and where it is met.
BADGES = (
    ("a public, permanent place with an identifier (DOI)", "ACM and USENIX *Available*",
     "**yours to do**: put this file there as it is"),
    ("one certain version, a licence, a way to cite it", "*Available*",
     "the commit above; `source/LICENSE`, `source/CITATION.cff`"),
    ("what each folder is; environments; how to install, build and run", "*Functional*: documented",
     '"What is in it", "Needs", "Check it"'),
    ("it is what the paper speaks of", "ACM *Functional*: consistent",
     '"Claims"; `campaign/plan.json` was sealed before the first run'),
    ("all parts of it", "*Functional*: complete",
     "source, plan, records, figures; nothing is fetched but Debian's packages"),
    ("it runs", "*Functional*: exercisable", "`artifact --check`"),
    ("evidence of verification and validation", "ACM *Functional*",
     "every run checks its answer; `source/experiments/selftest`"),
    ("structured so that others can build on it", "ACM *Reusable*",
     "`source/CONTRIBUTING.md`; `lab new` writes an experiment"),
    ("others obtain the main results with it, within a tolerance", "ACM and USENIX *Reproduced*",
     '"Claims": command, time and bounds of each'),
    ("others obtain them without it", "ACM *Replicated*",
     "not by this file; `campaign/plan.json` says what to measure"),
)
SOURCES = """\
ACM's words: <https://www.acm.org/publications/policies/artifact-review-and-badging-current> (version 1.1);
USENIX's: <https://sysartifacts.github.io/fast2025/badges>; the committees' checklists:
<https://sysartifacts.github.io/eurosys2024/badges>.
"""


def page(facts: Facts) -> str:
    said = facts.plan["experiment"]
    lab = "source/experiments/lab"
    return f"""\
# {said.get("title") or facts.name}

{said.get("question", "")}

{facts.runs} runs of the plan `{facts.plan["plan_id"]}`, {_made(facts)}.

## What is in it

| | |
|---|---|
{_sources(facts)}
| `campaign/` | the plan, a record of each run, the machine; `source/results/README.md` explains the files |
| `figures/` | the figures, drawn from the records: {", ".join(f"`{name}`" for name in facts.figures)} |
| `claims.json` | the table below for programs |
| `SHA256SUMS` | a checksum of every file |

## Needs

Linux on x86-64, aarch64 or riscv64; Debian 12 or later, and of its packages:

```
apt-get install --no-install-recommends {" ".join(facts.packages)}
```

{_needs(facts)}

## Check it

In this folder, without network:

```
{lab} artifact --check
```

It compares every checksum, verifies the records, draws the figures anew and compares them byte for byte, builds the
source{_repeats(facts)}. It says what it does, and how long each step took.

## Claims

{_claims(facts)}
A claim stays confirmed while the interval of the ratio keeps within the bounds that "tested as" names: these are the
tolerance. Another machine may have other ratios. To repeat a claim, with its blocks from the table:

```
mkdir rerun && cp -r {_to_copy(facts)} rerun
{lab} run rerun {_program(facts)}--accept-new-build {"--trust " if facts.plugins else ""}--block BLOCKS
{lab} claims rerun
```

Without `--block` all of the plan is run, in {show_span(facts.seconds)} on that machine.

## Badges

{_table(("required", "for", "where"), BADGES)}
{SOURCES}"""


def _made(facts: Facts) -> str:
    if facts.measured == facts.commit:
        return f"made and drawn with commit `{facts.commit}`"
    return f"made with commit `{facts.measured}` and drawn with commit `{facts.commit}`"


def _sources(facts: Facts) -> str:
    if facts.measured == facts.commit:
        return "| `source/` | the sources of that commit |"
    return ("| `source/` | the sources of the second commit: the lab that draws and judges |\n"
            "| `measured/` | the sources of the first commit: the program that measured |")


def _program(facts: Facts) -> str:
    return "" if facts.measured == facts.commit else "--shunt measured/build/release/shunt "


def _to_copy(facts: Facts) -> str:
    own = f"{facts.plan_at.rpartition('/')[0]}/{OWN}"
    return facts.plan_at + (f" {own}" if any(p.at.startswith(f"{own}/") for p in facts.plugins) else "")


def _needs(facts: Facts) -> str:
    memory = f"{facts.peak_bytes / 2 ** 20:.0f} MiB"
    said = [f"The runs took at most {memory} of memory each, on {'; '.join(facts.machine)}."]
    if facts.plugins:
        said.append(_PLUGINS + _table(("plug-in", "build-id", "source"), (
            (f"`{p.at}`", f"`{p.build_id}`", _source_of(p)) for p in facts.plugins)))
    lacks = sorted({what for row in facts.claims for what in row.lacks})
    if lacks:
        said.append("**Not in this file**, and needed to repeat some claims; ask the authors for it:\n\n"
                    + "\n".join(f"- {what}" for what in lacks))
    return "\n\n".join(said)


_PLUGINS = """\
Some arms are plug-ins. They are code, and `--trust` has them loaded. On another kind of processor, or where shunt
refuses one, build it from its source with the shunt of this file (`cmake --install`, then as
`source/experiments/examples` does), and put it into `rerun/plugins`:

"""


def _source_of(plugin: PlugIn) -> str:
    if not plugin.source:
        return "not in this file: it lay in no git repository; ask the authors"
    return f"`{plugin.source}/`" + (f", commit `{plugin.commit}`" if plugin.commit else "")


def _repeats(facts: Facts) -> str:
    if facts.chosen is None:
        return ""
    row = facts.claims[facts.chosen]
    return f", and repeats claim {facts.chosen + 1} ({show_span(row.seconds)} on that machine)"


def _claims(facts: Facts) -> str:
    if not facts.claims:
        return "The experiment expects nothing.\n"
    head = ("", "claim", "tested as", "answer", "ratio measured (95 %)", "blocks", "time")
    return _table(head, ((str(number), row.claim, f"`{row.predicate}`", row.answer, row.measured,
                          f"`{row.blocks}`" if row.blocks else "", show_span(row.seconds) if row.blocks else "")
                         for number, row in enumerate(facts.claims, 1)))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
