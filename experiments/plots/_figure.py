# SPDX-License-Identifier: MIT
"""What every figure script shares: its files, its caption and its table.

`lab figures` writes NAME.pdf (3.33 in), NAME-wide.pdf (7.0 in), NAME.png, NAME.csv (what was drawn),
NAME.figure.tex (the figure with its caption, for a paper to include), NAME.caption.tex,
NAME.table.tex, NAME.json (which series have which look) and, when asked, NAME.svg and
NAME-narrow.svg. The same records give the same bytes on any day, in any time zone and locale.

A script has KEYS, the keys of its own that a [[figure]] may have, prepare(ctx) -> Drawing and
draw(fig, drawing, ctx, width), and pages(drawing, width) if it can come to more than a page: the PDF
then has several. A figure's table in the experiment is ctx.spec; nothing but records is read, and
nothing is run.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import _axes
import _latex
import _style
from _data import Cell, Context
from matplotlib import rc_context
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from shuntlab.output.export_csv import csv_cell
from shuntlab.planning.campaign import Campaign
from shuntlab.planning.figure_kinds import named
from shuntlab.statistics.values import series_of
from shuntlab.tools.files import replacing

FORMATS = ("pdf", "png", "csv", "tex", "json")
EXACT = "Bars are exact 95 % intervals of the median over processes"
SPANS = EXACT + "; where there are too few runs for one, they span all runs"


@dataclass
class Drawing:
    """A figure before it has a size: its data, in the rows its CSV holds."""
    columns: list[str]
    rows: list[dict[str, Any]]
    table: tuple[list[str], list[list[str]]]        # the same for a paper: its head and its rows
    sentences: list[str]                            # of the caption, what it shows
    series: list[str] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)       # runs behind each point
    bars: str = EXACT                               # what the bars are; EXACT, SPANS, or its own words
    panels: int = 1                                 # that can stand side by side
    data: Any = None                                # whatever draw() wants
    height: float = 0.0                             # inches; 0: by the width
    looks: dict[str, _style.Look] = field(default_factory=dict)     # of the series
    wide: bool = False                              # a column of a paper, and of a screen, is too narrow
    legend: bool = True                             # tells them apart; else each has a row with its name

    def give_looks(self, ctx: Context) -> None:
        """An arm looks the same in every figure of a campaign: looks go by all of its arms."""
        if self.looks:
            return
        arms = dict.fromkeys(a for c in ctx.campaigns for a in c.arms
                             if a != c.plan.get("control"))
        if self.series and set(self.series) <= arms.keys():
            known = _style.looks(arms, [g for c in ctx.campaigns for g in drawn_together(c)])
            self.looks = {n: k for n, k in known.items() if n in self.series}
        else:
            self.looks = _style.looks(self.series)


def bars_of(found: list[Cell]) -> str:
    return EXACT if all(c.exact for c in found) else SPANS


def drawn_together(campaign: Campaign) -> list[set[str]]:
    """The arms of each figure of a campaign: those that a reader must tell apart."""
    groups = []
    for spec in named(campaign.plan):
        ctx, own = Context([], spec), set()
        for p in campaign.plan["points"]:
            if spec.get("workload") in (None, "", p["workload"], p.get("label")):
                own |= {a for a in p["arms"] if ctx.wants(campaign, a)}
        groups.append(own)
    return groups


# ---- drawing ------------------------------------------------------------------------------------

def render(module: ModuleType, ctx: Context, out: Path, formats: tuple[str, ...] = FORMATS) -> None:
    """Make one figure's files."""
    name = ctx.spec["name"]
    with rc_context(_style.rc()):
        drawing = module.prepare(ctx)
        drawing.give_looks(ctx)
        if "pdf" in formats:
            _save_pages(module, drawing, ctx, _style.NARROW, out / f"{name}.pdf")
            _save_pages(module, drawing, ctx, _style.WIDE, out / f"{name}-wide.pdf")
        for kind, width in (("png", _style.WIDE if drawing.wide else _style.NARROW), ("svg", _style.WIDE)):
            if kind in formats:
                _save(module, drawing, ctx, width, out / f"{name}.{kind}")
        if "svg" in formats:
            _save(module, drawing, ctx, _style.NARROW, out / f"{name}-narrow.svg")
    if "csv" in formats:
        _write(out / f"{name}.csv", csv_text(drawing))
    if "tex" in formats:
        text = _latex.caption(caption(ctx, drawing))
        _write(out / f"{name}.caption.tex", text)
        wide = drawing.wide or drawing.panels > 2       # below each other they would fill a column
        _write(out / f"{name}.figure.tex", _latex.figure(name, text, len(pages_of(
            module, drawing, _style.WIDE if wide else _style.NARROW)), wide))
        _write(out / f"{name}.table.tex", table_text(ctx, drawing))
    if "json" in formats:
        _write(out / f"{name}.json", json.dumps(description(ctx, drawing), indent=1) + "\n")


_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"Creator": "shunt", "Producer": "matplotlib", "CreationDate": None, "ModDate": None},
    "svg": {"Creator": "shunt", "Date": None}, "png": {"Software": None},
}


def pages_of(module: ModuleType, drawing: Drawing, width: float) -> list[Drawing]:
    """What is too much for one page of a paper, in pages; a screen scrolls, and gets it whole."""
    return module.pages(drawing, width) if hasattr(module, "pages") else [drawing]


def _drawn(module: ModuleType, drawing: Drawing, ctx: Context, width: float) -> Figure:
    height = drawing.height or (width * 0.68 if width < 5 else width * 0.42)
    fig = Figure(figsize=(width, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.03, hspace=0.03)
    module.draw(fig, drawing, ctx, width)
    _axes.clear_ticks(fig)
    return fig


def _save(module: ModuleType, drawing: Drawing, ctx: Context, width: float, file: Path) -> None:
    kind = file.suffix[1:]
    buffer = io.BytesIO()
    _drawn(module, drawing, ctx, width).savefig(buffer, format=kind, metadata=_METADATA[kind])
    _write(file, buffer.getvalue())


def _save_pages(module: ModuleType, drawing: Drawing, ctx: Context, width: float,
                file: Path) -> None:
    buffer = io.BytesIO()
    with PdfPages(buffer, metadata=_METADATA["pdf"]) as pdf:
        for page in pages_of(module, drawing, width):
            pdf.savefig(_drawn(module, page, ctx, width))
    _write(file, buffer.getvalue())


def _write(file: Path, content: str | bytes) -> None:
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(file) as draft:
        draft.write_bytes(data)


def legend(fig: Figure, handles: list[Any], names: list[str], width: float) -> None:
    """A legend above the axes, in as many columns as its longest name allows."""
    if not names:
        return
    names = [_style.shown(n) for n in names]
    room = width - 0.2
    column = 0.42 + max(len(n) for n in names) * 0.062
    columns = max(1, min(len(names), int(room / column)))
    rows = -(-len(names) // columns)
    height = fig.get_figheight()
    strip = rows * 0.135 + 0.06
    if strip > 0.25 * height:                       # many names: the figure grows, the axes do not
        height += strip - 0.25 * height
        fig.set_figheight(height)
    fig.legend(handles, names, loc="upper center", ncol=columns, bbox_to_anchor=(0.5, 1 - 0.03 /
               height))
    fig.get_layout_engine().set(rect=(0, 0, 1, 1 - strip / height))


def pretty(name: str) -> str:
    """A metric's or a parameter's name for an axis: resume_delay.p50 is p50 of resume delay."""
    series = series_of(name)
    if series:
        return f"p{100 * series[1]:g} of {series[0].replace('_', ' ')}"
    for group in ("backend.", "usage.", "counters."):
        name = name.removeprefix(group)
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """The first letter large, the others as they are: p99 of CPU time stays so."""
    return text[:1].upper() + text[1:] if text[1:2].isalpha() else text


def axis_label(metric: str, unit: str) -> str:
    """A metric's name without its unit where the ticks carry one: ns_per_hop is time per hop."""
    shown = pretty(metric)
    if unit not in ("1", "", "ns", "B", "bytes", "1/s"):
        return f"{shown} [{unit}]"
    for pattern, instead in _UNITS[unit] if unit in _UNITS else ():
        shown = re.sub(pattern, instead, shown)
    return shown


_BYTES = ((r"\bbytes per\b", "memory per"), (r"\brss memory\b", "resident memory"), (r" bytes$", ""))
_UNITS = {"ns": ((r"\bcpu\b", "CPU"), (r"\bns per\b", "time per"), (r"^(CPU|wall) ns$", r"\1 time"),
                 (r" ns$", "")),
          "B": _BYTES, "bytes": _BYTES, "1/s": ((r" per s$", " per second"),)}


# ---- words and numbers --------------------------------------------------------------------------

def span(numbers: list[int]) -> str:
    low, high = (min(numbers), max(numbers)) if numbers else (0, 0)
    return str(low) if low == high else f"{low} to {high}"


def caption(ctx: Context, drawing: Drawing) -> list[str]:
    """What it shows, on how many runs, with what intervals, where, from which commit."""
    return [ctx.get("caption") or ctx.get("title"), *drawing.sentences, drawing.bars, *source(ctx, drawing)]


def source(ctx: Context, drawing: Drawing) -> list[str]:
    """On how many runs it rests, where they ran, and from which commit."""
    plural = "" if set(drawing.runs) == {1} else "es"
    runs = f"n = {span(drawing.runs)} process{plural} a point" if drawing.runs else ""
    machine = "; ".join(ctx.machines[m] for m in sorted(ctx.machines))
    where = f"Machine{'s' if ctx.many_machines else ''}: {machine}"
    commits = ctx.commits()
    text = f"Campaign {', '.join(dict.fromkeys(c.name for c in ctx.campaigns))}"
    if commits:
        text += f", commit {', '.join(commits)}"
    return [runs, ctx.left_out(), where, text]


def table_caption(ctx: Context, drawing: Drawing) -> list[str]:
    """A table's caption: its numbers, not the looks of a figure."""
    first = ctx.get("caption") or ctx.get("title") or next(iter(drawing.sentences), "")
    cells = "In brackets: " + drawing.bars.removeprefix("Bars are ") if drawing.bars in (EXACT, SPANS) else ""
    return [first, cells.replace("they span", "the span of"), *source(ctx, drawing)]


def csv_text(drawing: Drawing) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, drawing.columns, lineterminator="\n")
    writer.writeheader()
    for row in drawing.rows:
        writer.writerow({k: _exact(row.get(k, "")) for k in drawing.columns})
    return text.getvalue()


def _exact(value: Any) -> Any:
    return repr(float(value)) if isinstance(value, float) else csv_cell(value)


def table_text(ctx: Context, drawing: Drawing) -> str:
    columns, rows = drawing.table
    right = {i for i in range(len(columns)) if rows and all(_numeric(r[i]) for r in rows)}
    return _latex.table(ctx.spec["name"], _latex.caption(table_caption(ctx, drawing)), columns, rows, right)


def _numeric(text: str) -> bool:
    return bool(re.match(r"^[-+.<>]? ?\d", text)) or text in ("", "-")


def description(ctx: Context, drawing: Drawing) -> dict[str, Any]:
    return {"name": ctx.spec["name"], "kind": ctx.spec.get("kind", ""),
            "caption": " ".join(s if s[-1] in ".!?" else s + "." for s in caption(ctx, drawing)
                                if s),
            "table": drawing.table,
            "looks": {n: [k.colour, k.marker, str(k.dash)] for n, k in drawing.looks.items()
                      if drawing.legend}}
