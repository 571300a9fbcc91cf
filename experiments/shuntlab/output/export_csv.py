# SPDX-License-Identifier: MIT
"""The runs of a campaign as CSV, a row a run, and the data dictionary of its columns.

A run is one process, and so one observation; its iterations share that process and are none by themselves.
A column is a place in the record. The dictionary takes its meaning from the record's schema, which
describes that place, so that the two cannot disagree.
"""

from __future__ import annotations

import csv
import re
from typing import Any, Iterable, Iterator, NamedTuple, TextIO

from ..data import schema
from ..planning.campaign import Campaign
from ..tools import units

Row = dict[str, Any]


class Column(NamedTuple):
    name: str
    unit: str                   # "" where it has none: a text, a count, a ratio
    place: tuple[str, ...]      # in the record; empty: of the campaign

    @property
    def header(self) -> str:
        """Its name with its unit, unless the name says it, as ns_per_switch does."""
        said = self.unit in ("", "1") or self.unit in re.split("[._]", self.name) or \
            self.unit == "1/s" and "_per_s" in self.name
        return self.name if said else f"{self.name} [{self.unit}]"


# What a run is: the columns that every format has.
_FIRST = (
    ("run_id", "run_id"), ("experiment", ""), ("part", ""), ("point", ""), ("block", "block"),
    ("repetition", "repetition"), ("arm", "arm"), ("driver", "identity.driver"),
    ("backend", "identity.backend"), ("workload", "identity.workload"), ("seed", "identity.seed"),
    ("status", "status"), ("reason", "reason"), ("machine_class", "machine_class"),
    ("build_id", "identity.build_id"), ("env_id", "env_id"), ("started", "times.started"),
    ("elapsed_ns", "times.elapsed_ns"), ("file", ""))
FIRST = [Column(name, "ns" if name.endswith("_ns") else "", tuple(place.split(".")) if place else ())
         for name, place in _FIRST]
_OF_CAMPAIGN = {
    "experiment": "The experiment's name.",
    "part": "The index of the campaign's part; 0 unless campaigns were merged.",
    "point": "The plan's name for the workload with these parameters.",
    "file": "The name of the record's file.",
}
# Numbers that stand in the record under their names.
_PLAIN = (("counter", ("counters",)), ("usage", ("usage",)),
          ("before", ("interference", "before")), ("after", ("interference", "after")))
_THREAD = ("processor", "by_thread", "*")     # the sum over the threads
_UNIT_AT_END = re.compile(r"_(ns|bytes|khz|ticks)(?:_min|_max)?$")


def run_of(loaded: Campaign, record: Row) -> Row:
    """The columns of FIRST."""
    lab = record["lab"]
    of_campaign = {"experiment": loaded.name, "part": lab["part"], "point": lab["point"],
                   "file": re.sub(".*/", "", lab["file"])}
    run = {c.name: _at(record, c.place) if c.place else of_campaign[c.name] for c in FIRST}
    return run | {"elapsed_ns": int(run["elapsed_ns"])}


def _at(record: Row, place: tuple[str, ...], absent: Any = "") -> Any:
    value: Any = record
    for key in place:
        if key not in value:
            return absent
        value = value[key]
    return value


def cells_of(record: Row) -> Iterator[tuple[Column, Any]]:
    """The columns that depend on the run; what it did not report is not among them."""
    identity, types = record["identity"], record["lab"]["types"]
    for group, workload, key in (("param", identity["workload"], "params"),
                                 ("slot", "", "composition")):
        for k, v in identity.get(key, {}).items():
            unit = units.unit_of(units.type_of(types, workload, k))
            yield Column(f"{group}.{k}", unit, ("identity", key, k)), units.number(v)
    for name, entry in record["metrics"].items():
        yield Column(f"metric.{name}", entry["unit"], ("metrics", name, "value")), \
            units.number(entry["value"])
    for name, series in record["series"].items():
        yield Column(f"series.{name}.count", "", ("series", name, "count")), series["count"]
        for q, value in series["quantiles"].items():
            unit, value = units.plain(series["unit"], value)
            yield Column(f"series.{name}.{q}", unit, ("series", name, "quantiles", q)), value
    for name in schema.below(_THREAD)["properties"]:
        counts = [t[name] for t in _at(record, ("processor", "by_thread"), ()) if name in t and name != "name"]
        if counts:
            yield _number("processor", _THREAD, name), sum(map(int, counts))
    for name in ("wall_ns", "ops"):
        if name in record.get("processor", {}):
            yield _number("processor", ("processor",), name), units.number(record["processor"][name])
    for group, place in _PLAIN:
        for k, v in _at(record, place, {}).items():
            yield _number(group, place, k), units.number(v)


def _number(group: str, place: tuple[str, ...], name: str) -> Column:
    unit = _UNIT_AT_END.search(name)
    return Column(f"{group}.{name}", unit[1] if unit else "", (*place, name))


Runs = list[tuple[Row, Row]]


def table(runs: Runs) -> tuple[list[Column], list[Row]]:
    """All columns, those of FIRST first, and the rows with a value for each header they have."""
    known: dict[str, Column] = {}
    rows = []
    for run, record in runs:
        row = dict(run)
        for column, value in cells_of(record):
            known.setdefault(column.header, column)
            row[column.header] = value
        rows.append(row)
    return [*FIRST, *(known[header] for header in sorted(known))], rows


def csv_cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, marked as text; a number stays a number."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value


def write(out: TextIO, runs: Runs) -> None:
    columns, rows = table(runs)
    _write(out, [c.header for c in columns], rows)


def _write(out: TextIO, headers: Iterable[str], rows: Iterable[Row]) -> None:
    writer = csv.DictWriter(out, list(headers), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: csv_cell(v) for k, v in row.items()} for row in rows)


# ---- the dictionary -----------------------------------------------------------------------------

DICTIONARY = ("column", "type", "unit", "place", "meaning")


def write_dictionary(out: TextIO, runs: Runs) -> None:
    columns, rows = table(runs)
    _write(out, DICTIONARY, ({
        "column": c.header, "unit": c.unit, "place": ".".join(c.place),
        "type": _type_of(row[c.header] for row in rows if row.get(c.header, "") != ""),
        "meaning": meaning(c, runs)} for c in columns))


def _type_of(values: Iterable[Any]) -> str:
    """What every value of a column can be read as."""
    kinds = {type(v) for v in values}
    return "" if not kinds else "integer" if kinds == {int} else \
        "number" if kinds <= {int, float} else "text"


def meaning(column: Column, runs: Runs) -> str:
    """What the schema says of the column's place and, of a metric, which way is better."""
    if not column.place:
        return _OF_CAMPAIGN[column.name]
    said, values = schema.described(column.place)
    text = f"{said} One of: {', '.join(values)}." if values else said
    if column.place[0] != "metrics":
        return text
    better = next(r["metrics"][column.place[1]]["better"] for _, r in runs
                  if column.place[1] in r["metrics"])
    return text if better == "none" else f"{text} {better.capitalize()} is better."
