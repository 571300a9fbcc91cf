# SPDX-License-Identifier: MIT
"""`lab export`: the records of a campaign as CSV, JSON Lines or SQLite.

One writer: every format gets the same rows, one a run, from the same function. What a run did not
report is an empty cell, an absent key, a NULL; never a zero. The JSON Lines and the SQLite table
`records` carry the whole record as well.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any, Iterable

from . import campaign
from .files import replacing

FIRST = ("run_id", "experiment", "part", "point", "block", "repetition", "arm", "driver",
         "backend", "workload", "seed", "status", "reason", "machine_class", "build_id", "env_id",
         "started", "elapsed_ns", "file")


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "export", help="the records as CSV, JSON Lines or SQLite",
        description="Write one row a run: its identity, parameters (param.*), slots (slot.*), "
                    "metrics (metric.*), quantiles (series.*), counters (counter.*) and what the "
                    "kernel says (usage.*). In CSV unless told otherwise, to stdout unless told "
                    "otherwise.")
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
    records = loaded.records if args.all else loaded.ok()
    rows = [row_of(loaded, r) for r in records]
    columns = columns_of(rows)
    if not (args.csv or args.jsonl or args.sqlite):
        args.csv = "-"
    for target, writer in ((args.csv, write_csv), (args.jsonl, write_jsonl)):
        if target == "-":
            writer(sys.stdout, columns, rows, records)
        elif target:
            _to_file(Path(target), lambda out: writer(out, columns, rows, records))
    if args.sqlite:
        write_sqlite(Path(args.sqlite), columns, rows, records)
    return 5 if loaded.problems else 0


def row_of(loaded: campaign.Campaign, record: dict[str, Any]) -> dict[str, Any]:
    """One flat row: names of columns to values; what is unknown is not in it."""
    said, lab = record["identity"], record["lab"]
    row = {"run_id": record["run_id"], "experiment": loaded.name, "part": lab["part"],
           "point": lab["point"], "block": record["block"], "repetition": record["repetition"],
           "arm": record["arm"], "driver": said["driver"], "backend": said["backend"],
           "workload": said["workload"], "seed": said["seed"], "status": record["status"],
           "reason": record["reason"], "machine_class": record["machine_class"],
           "build_id": said.get("build_id", ""), "env_id": record["env_id"],
           "started": record["times"].get("started", ""),
           "elapsed_ns": int(record["times"].get("elapsed_ns", 0)),
           "file": os.path.basename(lab["file"])}
    row.update({f"param.{k}": _number(v) for k, v in said["params"].items()})
    row.update({f"slot.{k}": v for k, v in said.get("composition", {}).items()})
    for name, entry in record["metrics"].items():
        row[f"metric.{name}"] = entry["value"]
    for name, series in record["series"].items():
        row[f"series.{name}.count"] = series["count"]
        row.update({f"series.{name}.{q}": v for q, v in series["quantiles"].items()})
    row.update({f"counter.{k}": v for k, v in record["counters"].items()})
    row.update({f"usage.{k}": v for k, v in record["usage"].items()})
    return row


def _number(text: str) -> Any:
    return int(text) if text.lstrip("-").isdigit() and len(text) < 19 else text


def columns_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    names = {name for row in rows for name in row}
    return [*FIRST, *sorted(names - set(FIRST))]


def write_csv(out: Any, columns: list[str], rows: list[dict[str, Any]], _: Any) -> None:
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def write_jsonl(out: Any, columns: list[str], rows: list[dict[str, Any]],
                records: list[dict[str, Any]]) -> None:
    for row, record in zip(rows, records):
        whole = {k: v for k, v in record.items() if k != "lab"}
        out.write(json.dumps({**row, "record": whole}, ensure_ascii=False) + "\n")


def write_sqlite(path: Path, columns: list[str], rows: list[dict[str, Any]],
                 records: list[dict[str, Any]]) -> None:
    import sqlite3
    with replacing(path) as draft:
        draft.write_bytes(b"")      # says why it cannot be written better than the library does
        try:
            with contextlib.closing(sqlite3.connect(draft)) as db, db:
                _fill(db, columns, rows, records)
        except sqlite3.Error as e:
            raise OSError(errno.EIO, str(e)) from None


def _fill(db: Any, columns: list[str], rows: list[dict[str, Any]],
          records: list[dict[str, Any]]) -> None:
    quoted = ", ".join(f'"{c}"' for c in columns)
    db.execute(f"CREATE TABLE runs ({quoted})")
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT INTO runs VALUES ({marks})",
                   ([_cell(row.get(c)) for c in columns] for row in rows))
    db.execute("CREATE TABLE metrics (run_id, name, value, unit, better)")
    db.execute("CREATE TABLE iterations (run_id, number, wall_ns, cpu_ns, ops)")
    db.execute("CREATE TABLE buckets (run_id, series, digits, bucket, count)")
    db.execute("CREATE TABLE checks (run_id, name, expected, actual, ok)")
    db.execute("CREATE TABLE records (run_id, json)")
    for r in records:
        _fill_one(db, r)


def _fill_one(db: Any, r: dict[str, Any]) -> None:
    run = r["run_id"]
    db.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)",
                   [(run, name, _cell(m["value"]), m["unit"], m["better"])
                    for name, m in r["metrics"].items()])
    db.executemany("INSERT INTO iterations VALUES (?, ?, ?, ?, ?)",
                   [(run, i, _cell(it.get("wall_ns")), _cell(it.get("cpu_ns")),
                     _cell(it.get("ops"))) for i, it in enumerate(r["iterations"], 1)])
    db.executemany("INSERT INTO buckets VALUES (?, ?, ?, ?, ?)",
                   [(run, name, s["digits"], i, n) for name, s in r["series"].items()
                    for i, n in s["buckets"]])
    db.executemany("INSERT INTO checks VALUES (?, ?, ?, ?, ?)",
                   [(run, c["name"], c["expected"], c["actual"], int(c["ok"]))
                    for c in r["checks"]])
    whole = {k: v for k, v in r.items() if k != "lab"}
    db.execute("INSERT INTO records VALUES (?, ?)", (run, json.dumps(whole, ensure_ascii=False)))


def _cell(value: Any) -> Any:
    """SQLite's integers have 64 bits; beyond them the decimal text is kept."""
    if isinstance(value, int) and not -2 ** 63 <= value < 2 ** 63:
        return str(value)
    return value


def _to_file(path: Path, write: Any) -> None:
    with replacing(path) as draft, open(draft, "w", encoding="utf-8", newline="") as out:
        write(out)
