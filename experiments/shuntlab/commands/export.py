# SPDX-License-Identifier: MIT
"""`lab export`: the records of a campaign as CSV, JSON Lines, SQLite or a log of HdrHistogram.

CSV is one flat row a run (export_csv.py). JSON Lines is the whole record of each run, SQLite the same in
long tables (export_sqlite.py), and the log has the latency series (export_hlog.py). What a run did not
report is an empty cell, an absent key or no row; never a zero.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, TextIO

from ..output import export_csv, export_hlog, export_sqlite
from ..planning import campaign
from ..tools.files import replacing


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "export", help="the records as CSV, JSON Lines, SQLite or .hlog",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Write the runs of a campaign, as CSV to stdout by default.

CSV has one row a run: its identity, parameters (param.*), settings of the
backend (slot.*), metrics (metric.*), quantiles (series.*), counters
(counter.*), what the kernel counted (usage.*), what the processor counted in
a warm-up iteration (processor.*, the sum over the threads) and the machine
around the run (before.*, after.*). A column's unit stands in brackets where the name does
not say it: series.lateness.p99 [ns]. --dictionary says of each column its
type, unit, place in the record and meaning, by the record's schema.

JSON Lines has the whole record of each run. HdrHistogram's readers and
plotters take the .hlog: a line a series of a run, tagged series/arm/point.

SQLite has a table for each kind of value, with a row a value:
""" + export_sqlite.described())
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path)
    p.add_argument("--csv", metavar="FILE", help="comma-separated values (- for stdout)")
    p.add_argument("--dictionary", metavar="FILE",
                   help="what the columns of the CSV mean, as CSV (- for stdout)")
    p.add_argument("--jsonl", metavar="FILE", help="JSON Lines (- for stdout)")
    p.add_argument("--hlog", metavar="FILE", help="a log of HdrHistogram (- for stdout)")
    p.add_argument("--sqlite", metavar="FILE", help="an SQLite database; replaced if it exists")
    p.add_argument("--all", action="store_true",
                   help="also runs that are not ok (their values are empty)")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    loaded = campaign.load_campaign(args.campaign)
    for problem in loaded.problems:
        print(f"left out: {problem}", file=sys.stderr)
    runs = [(export_csv.run_of(loaded, r), r) for r in (loaded.records if args.all else loaded.ok())]
    texts = ((args.csv, export_csv.write), (args.dictionary, export_csv.write_dictionary),
             (args.jsonl, write_jsonl), (args.hlog, export_hlog.write))
    if not (args.sqlite or any(target for target, _ in texts)):
        export_csv.write(sys.stdout, runs)
    for target, write in texts:
        if target == "-":
            write(sys.stdout, runs)
        elif target:
            with replacing(Path(target)) as draft, \
                    open(draft, "w", encoding="utf-8", newline="") as out:
                write(out, runs)
    if args.sqlite:
        with replacing(Path(args.sqlite)) as draft:
            export_sqlite.write(draft, [c.name for c in export_csv.FIRST], runs)
    return 5 if loaded.problems else 0


def write_jsonl(out: TextIO, runs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for run, record in runs:
        whole = {k: v for k, v in record.items() if k != "lab"}
        lab = {k: run[k] for k in ("experiment", "part", "point", "file")}
        out.write(json.dumps({**whole, "lab": lab}, ensure_ascii=False,
                             separators=(",", ":")) + "\n")
