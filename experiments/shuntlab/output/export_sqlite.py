# SPDX-License-Identifier: MIT
"""The runs of a campaign as an SQLite database: long tables, one for each kind of value.

A run is a row of `runs`; every other table has a row a value and names its run, or its series, by
number. So a run may have any number of parameters and counters, and a bucket does not repeat names.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.records import hist_bounds
from ..tools import units

# table: (its columns, those of its key). A key in place of a row number halves the file.
TABLES = {
    "runs": ("run, {first}", "run"),
    "settings": ("run, kind, name, value, unit", "run, kind, name"),
    "metrics": ("run, name, value, unit, better", "run, name"),
    "counters": ("run, name, value", "run, name"),
    "usage": ("run, name, value", "run, name"),
    "processor": ("run, number, thread, name, value", "run, number, name"),
    "facts": ("run, name, value", "run, name"),
    "caveats": ("run, number, text", "run, number"),
    "iterations": ("run, number, wall_ns, cpu_ns, ops", "run, number"),
    "checks": ("run, number, name, expected, actual, ok", "run, number"),
    "series": ("series, run, name, unit, count, min, max, sum, digits", "series"),
    "quantiles": ("series, quantile, value", "series, quantile"),
    "buckets": ("series, low, high, count", "series, low"),
}


def described() -> str:
    """The tables, for `--help`."""
    return "".join(f"  {name} ({columns.format(first='run_id, arm, block, workload, …')})\n"
                   for name, (columns, _) in TABLES.items())


def write(file: Path, first: Iterable[str],
          runs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Fill a new database. What SQLite cannot do is an OSError."""
    import sqlite3
    file.write_bytes(b"")       # says why it cannot be written better than the library does
    try:
        with contextlib.closing(sqlite3.connect(file)) as db, db:
            _fill(db, list(first), runs)
    except sqlite3.Error as e:
        raise OSError(errno.EIO, str(e)) from None


def _fill(db: Any, first: list[str], runs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for name, (columns, key) in TABLES.items():
        db.execute(f"CREATE TABLE {name} ({columns.format(first=', '.join(first))}, "
                   f"PRIMARY KEY ({key})) WITHOUT ROWID")
    numbers = itertools.count(1)
    for number, (run, record) in enumerate(runs, 1):
        _insert(db, "runs", [[number, *(run.get(name) for name in first)]])
        for table, rows in _rows(record).items():
            _insert(db, table, ([number, *row] for row in rows))
        for name, series in record["series"].items():
            _insert_series(db, next(numbers), number, name, series)


def _rows(record: dict[str, Any]) -> dict[str, Iterator[tuple[Any, ...]]]:
    """The rows of each table that has the values of a run, without the run's number."""
    identity = record["identity"]
    settings = [("param", identity["workload"], identity["params"]),
                ("slot", "", identity.get("composition", {}))]
    types = record["lab"]["types"]
    return {
        "settings": ((kind, name, units.number(value), units.unit_of(units.type_of(types, workload, name)))
                     for kind, workload, of in settings for name, value in of.items()),
        "metrics": ((name, units.number(m["value"]), m["unit"], m["better"])
                    for name, m in record["metrics"].items()),
        "counters": ((name, units.number(v)) for name, v in record["counters"].items()),
        "usage": ((name, units.number(v)) for name, v in record["usage"].items()),
        "processor": ((i, t["name"], name, units.number(v))
                      for i, t in enumerate(record.get("processor", {}).get("by_thread", []), 1)
                      for name, v in t.items() if name != "name"),
        "facts": ((name, units.number(v)) for name, v in record.get("facts", {}).items()),
        "caveats": enumerate(record.get("caveats", []), 1),
        "iterations": ((i, *(units.number(it.get(k)) for k in ("wall_ns", "cpu_ns", "ops")))
                       for i, it in enumerate(record["iterations"], 1)),
        "checks": ((i, c["name"], c["expected"], c["actual"], int(c["ok"]))
                   for i, c in enumerate(record["checks"], 1)),
    }


def _insert_series(db: Any, number: int, run: int, name: str, series: dict[str, Any]) -> None:
    def plain(value: int) -> int | float:
        return units.plain(series["unit"], value)[1]
    low, high = (plain(series[k]) if k in series else None for k in ("min", "max"))
    _insert(db, "series", [[number, run, name, units.plain(series["unit"], 0)[0], series["count"],
                            low, high, plain(series["sum"]), series["digits"]]])
    _insert(db, "quantiles", ([number, q, plain(v)] for q, v in series["quantiles"].items()))
    _insert(db, "buckets", ([number, *map(plain, hist_bounds(i, series["digits"])), n]
                            for i, n in series["buckets"]))


def _insert(db: Any, table: str, rows: Iterable[list[Any]]) -> None:
    for row in rows:
        db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})",
                   [_cell(value) for value in row])


def _cell(value: Any) -> Any:
    """SQLite's integers have 64 bits; beyond them the decimal text is kept."""
    if isinstance(value, int) and not -2 ** 63 <= value < 2 ** 63:
        return str(value)
    return value
