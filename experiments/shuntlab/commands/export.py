# SPDX-License-Identifier: MIT
"""`lab export`: the records of a campaign as CSV, JSON Lines or SQLite.

CSV is one flat row a run. JSON Lines is the whole record of each run, SQLite the same in long tables
(export_sqlite.py). What a run did not report is an empty cell, an absent key or no row; never a zero.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Iterable, TextIO

from ..output import export_sqlite
from ..planning import campaign
from ..tools import units
from ..tools.files import replacing

FIRST = ("run_id", "experiment", "part", "point", "block", "repetition", "arm", "driver",
         "backend", "workload", "seed", "status", "reason", "machine_class", "build_id", "env_id",
         "started", "elapsed_ns", "file")


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "export", help="the records as CSV, JSON Lines or SQLite",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Write the runs of a campaign, as CSV to stdout by default.

CSV has one row a run: its identity, parameters (param.*), settings of the
backend (slot.*), metrics (metric.*), quantiles (series.*), counters
(counter.*) and what the kernel counted (usage.*). A column's unit stands in
brackets where the name does not say it: series.lateness.p99 [ns].

JSON Lines has the whole record of each run.

SQLite has a table for each kind of value, with a row a value:
""" + export_sqlite.described())
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path)
    p.add_argument("--csv", metavar="FILE", help="comma-separated values (- for stdout)")
    p.add_argument("--jsonl", metavar="FILE", help="JSON Lines (- for stdout)")
    p.add_argument("--sqlite", metavar="FILE", help="an SQLite database; replaced if it exists")
    p.add_argument("--all", action="store_true",
                   help="also runs that are not ok (their values are empty)")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    loaded = campaign.load_campaign(args.campaign)
    for problem in loaded.problems:
        print(f"left out: {problem}", file=sys.stderr)
    runs = [(_said(loaded, r), r) for r in (loaded.records if args.all else loaded.ok())]
    if not (args.csv or args.jsonl or args.sqlite):
        args.csv = "-"
    for target, write in ((args.csv, write_csv), (args.jsonl, write_jsonl)):
        if target == "-":
            write(sys.stdout, runs)
        elif target:
            with replacing(Path(target)) as draft, \
                    open(draft, "w", encoding="utf-8", newline="") as out:
                write(out, runs)
    if args.sqlite:
        with replacing(Path(args.sqlite)) as draft:
            export_sqlite.write(draft, FIRST, runs)
    return 5 if loaded.problems else 0


def _said(loaded: campaign.Campaign, record: dict[str, Any]) -> dict[str, Any]:
    """What a run is: the columns that every format has."""
    said, lab = record["identity"], record["lab"]
    return {"run_id": record["run_id"], "experiment": loaded.name, "part": lab["part"],
            "point": lab["point"], "block": record["block"], "repetition": record["repetition"],
            "arm": record["arm"], "driver": said["driver"], "backend": said["backend"],
            "workload": said["workload"], "seed": said["seed"], "status": record["status"],
            "reason": record["reason"], "machine_class": record["machine_class"],
            "build_id": said.get("build_id", ""), "env_id": record["env_id"],
            "started": record["times"].get("started", ""),
            "elapsed_ns": int(record["times"].get("elapsed_ns", 0)),
            "file": os.path.basename(lab["file"])}


def row_of(run: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """One flat row: names of columns to values; what is unknown is not in it."""
    row = dict(run)
    identity = record["identity"]
    for group, workload, settings in (("param", identity["workload"], identity["params"]),
                                      ("slot", "", identity.get("composition", {}))):
        for k, v in settings.items():
            unit = units.unit_of(units.type_of(record["lab"]["types"], workload, k))
            row[column(f"{group}.{k}", unit)] = units.number(v)
    for name, entry in record["metrics"].items():
        row[column(f"metric.{name}", entry["unit"])] = units.number(entry["value"])
    for name, series in record["series"].items():
        row[f"series.{name}.count"] = series["count"]
        for q, value in series["quantiles"].items():
            unit, value = units.plain(series["unit"], value)
            row[column(f"series.{name}.{q}", unit)] = value
    row.update({f"counter.{k}": units.number(v) for k, v in record["counters"].items()})
    row.update({f"usage.{k}": units.number(v) for k, v in record["usage"].items()})
    return row


def column(name: str, unit: str) -> str:
    """A column's name with its unit, unless it has none or the name says it, as ns_per_switch does."""
    said = unit in ("", "1") or unit in re.split("[._]", name) or \
        unit == "1/s" and "_per_s" in name
    return name if said else f"{name} [{unit}]"


def columns_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    names = {name for row in rows for name in row}
    return [*FIRST, *sorted(names - set(FIRST))]


def csv_cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, marked as text; a number stays a number."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value


def write_csv(out: TextIO, runs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    rows = [{k: csv_cell(v) for k, v in row_of(run, record).items()} for run, record in runs]
    writer = csv.DictWriter(out, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def write_jsonl(out: TextIO, runs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for run, record in runs:
        whole = {k: v for k, v in record.items() if k != "lab"}
        lab = {k: run[k] for k in ("experiment", "part", "point", "file")}
        out.write(json.dumps({**whole, "lab": lab}, ensure_ascii=False,
                             separators=(",", ":")) + "\n")
