# SPDX-License-Identifier: MIT
"""`lab figures`: draws the figures that a campaign declares, those that are older than their records.

Makefile.plot calls it. A figure's files are made together; what is newer than its plan, its records and
the code that draws it is left alone. A campaign is read once for all of its figures.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import textwrap
from pathlib import Path
from typing import Any, Iterator

from ..data.packed import PACK
from ..planning.campaign import load_campaign, status_with
from ..planning.experiment import nearest
from ..planning.figure_kinds import COMMON, PLOTS, kinds, named
from ..planning.kept_plan import CampaignError, load_plan
from ..running.opening import UsageError
from ..tools.files import must_stay

ENDS = (".pdf", "-wide.pdf", ".png", ".csv", ".json", ".figure.tex", ".caption.tex", ".table.tex")


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "figures", help="draw a campaign's figures, or say what kinds and keys there are",
        description="Draw the figures that a campaign declares: PDF in 3.33 and 7.0 inches, PNG, CSV, "
                    "caption and table for LaTeX. Those that are newer than their records are left "
                    "alone. Two campaigns give figures that tell their machines apart.",
        epilog="exit status: 0 drawn, 1 --check failed, 2 usage, 3 a figure cannot be drawn from these "
               "records, 5 data corrupt: what is sound was drawn")
    p.add_argument("campaigns", metavar="CAMPAIGN", type=Path, nargs="*")
    p.add_argument("--out", type=Path, metavar="DIR", help="default: figures/ in the first campaign")
    p.add_argument("--figure", default="", metavar="NAME", help="only this one, as --list names it")
    p.add_argument("--formats", default="", metavar="LIST",
                   help="of pdf,png,csv,tex,json (default) and svg; draws in any case")
    p.add_argument("--list", action="store_true", help="the figures of a campaign; draw nothing")
    p.add_argument("--kinds", action="store_true", help="the kinds of figure and the keys of each")
    p.add_argument("--check", action="store_true",
                   help="draw each twice: same bytes, fonts embedded, series told apart in grey")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    if args.kinds:
        print("\n".join(described()))
        return 0
    if not args.campaigns:
        raise UsageError("which campaign? `lab figures results/NAME`; --kinds: what can be drawn")
    out = args.out or args.campaigns[0] / "figures"
    wanted = _wanted(args.campaigns[0], args.figure)
    if args.list:
        for s in wanted:
            print(f"{s['name']:<28}{s['kind']:<15}{s.get('title', s.get('y', ''))}".rstrip())
        return 0
    if args.check:
        return _plots("_check").check_all(args.campaigns, wanted, out)
    inputs = list(_inputs(args.campaigns))
    stale = [s for s in wanted if args.formats or not _fresh(s, out, inputs)]
    return _draw(args.campaigns, stale, out, args.formats) if stale else _nothing(out)


def _wanted(campaign: Path, name: str) -> list[dict[str, Any]]:
    every = named(plan_of(campaign))
    names = [s["name"] for s in every]
    if name and name not in names:
        raise UsageError(f"{campaign}: no figure {name!r}{nearest(name, names)} (there are "
                         f"{', '.join(names)})")
    return [s for s in every if name in ("", s["name"])]


def plan_of(folder: Path) -> dict[str, Any]:
    """A campaign's plan; of a merged campaign its first part's."""
    parts = [p for p in sorted(folder.glob("parts/*")) if p.is_dir()]
    return load_plan(parts[0] if parts else folder)


# ---- drawing ------------------------------------------------------------------------------------

def _draw(folders: list[Path], specs: list[dict[str, Any]], out: Path, formats: str) -> int:
    figure, data = _plots("_figure"), _plots("_data")
    campaigns = [load_campaign(f) for f in folders]
    out.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        for file in (out, *out.iterdir()):
            must_stay(file, folder)
    code = 0
    for spec in specs:
        try:
            figure.render(_plots(spec["kind"]), data.Context(campaigns, spec), out,
                          tuple(formats.split(",")) if formats else figure.FORMATS)
            print(f"drawn: {out / spec['name']}", flush=True)
        except (CampaignError, data.FigureError) as e:
            print(f"{spec['name']} ({spec['kind']}): {e}", file=sys.stderr)
            code = 3
    for problem in (p for c in campaigns for p in c.problems):
        print(f"left out: {problem}", file=sys.stderr)
    return status_with(campaigns, code)


def _plots(module: str) -> Any:
    if str(PLOTS) not in sys.path:
        sys.path.insert(0, str(PLOTS))
    return importlib.import_module(module)


def _nothing(out: Path) -> int:
    print(f"{out}: every figure is newer than its records")
    return 0


def _inputs(folders: list[Path]) -> Iterator[Path]:
    """What all figures are made of. A run's record is renamed into its folder, which changes the folder."""
    yield from PLOTS.glob("_*.py")
    yield from Path(__file__).parents[1].rglob("*.py")
    for folder in folders:
        for place in (folder, *folder.glob("parts/*")):
            yield from (place / "plan.json", place / "records", place / PACK, place / "traces")


def _fresh(spec: dict[str, Any], out: Path, inputs: list[Path]) -> bool:
    made = [out / f"{spec['name']}{end}" for end in ENDS]
    if not all(f.is_file() for f in made):
        return False
    newest = max(f.stat().st_mtime_ns for f in [*inputs, PLOTS / f"{spec['kind']}.py"] if f.exists())
    return newest < min(f.stat().st_mtime_ns for f in made)


# ---- what there is ------------------------------------------------------------------------------

def described() -> list[str]:
    lines = ["Keys of every [[figure]]:", *_rows(COMMON)]
    for kind, keys in kinds().items():
        lines += ["", f"{kind}: {_summary(kind)}", *_rows(keys)]
    return lines


def _rows(keys: dict[str, tuple[str, str]]) -> list[str]:
    return [line for key, (_, meaning) in keys.items()
            for line in textwrap.wrap(meaning, 88, initial_indent=f"  {key:<10}",
                                      subsequent_indent=" " * 12)]


def _summary(kind: str) -> str:
    """The first line of its script's description."""
    text = (PLOTS / f"{kind}.py").read_text(encoding="utf-8").split('"""')[1]
    return text.strip().splitlines()[0]
