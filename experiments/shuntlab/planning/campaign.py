# SPDX-License-Identifier: MIT
"""Campaigns: one frozen plan and the records it has yielded so far, in one folder.

    plan.json              the frozen plan (kept_plan.py); nothing but its figures ever changes
    experiment.toml        the experiment as it was when it was frozen
    records/               b0007.asm.json, b0007.mn.failed.json, ... and env/<env_id>.json
    records.jsonl.xz       in a packed campaign, which is finished: the records, a line each
    attempts/              records that a retry replaced; nothing measured is ever deleted
    quarantine/            damaged files, moved aside with a .why.txt beside each
    sessions/              one JSON Lines journal (.xz: packed) per `lab run`: who, where, which CPUs, checksums
    plugins/               files of plug-ins that it brings: the plan's are taken from here where they are here
    traces/                <block>.<arm>.json of the points that ask for one; not measured
    locks/                 who is working on which block, or on the plan
    parts/                 only in a merged campaign: complete campaigns, one a folder

The status is in a record's file name (none for ok), so that what is left to do costs one directory
read. A run writes to a dot-file in records/ which is renamed once it has been read back and checked:
a name without a leading dot is a whole record. No folder is a symbolic link: nothing is written out
of the campaign.

A record belongs to a block by its `block` and to an arm by its `arm`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

from ..data import records as rec
from ..data.machine import hostname_of
from ..data.packed import each_record, record_files, record_names
from ..tools.files import must_be_folder, own_folder, write_whole
from . import journal
from .kept_plan import CampaignError, load_plan

RECORD_NAME = re.compile(
    r"(?P<block>b\d{4,})\.(?P<arm>[A-Za-z0-9][A-Za-z0-9_+-]*)"
    r"(?:\.(?P<status>failed|timeout|skipped|interrupted))?\.json")
INVALID = re.compile(rb'"reason"\s*:\s*"invalid: ')

# Of a record, what is read of it; and by a plan, how that is taken out.
Lean = Callable[[dict[str, Any]], dict[str, Any]]
Needs = Callable[[dict[str, Any]], Lean]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A file of a campaign that is not data, and why. Its run counts as not done."""
    file: Path
    why: str

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"


@dataclasses.dataclass
class Campaign:
    """What a reader works with. `records` holds every accepted record, whatever its status,
    whole or as far as the reader needs it.

    Each record carries one key that is not in its file, "lab": {"file", "part", "point", "axes",
    "types", "node"}: where it was read, the index of its part in a merged campaign (0 in a plain one), its
    point's id and axes in that part's plan, that plan's types, and the machine that ran it.
    """
    path: Path
    plan: dict[str, Any]
    records: list[dict[str, Any]]
    problems: list[Problem]
    parts: list["Campaign"] = dataclasses.field(default_factory=list)
    named: set[str] = dataclasses.field(default_factory=set)   # the metrics that its runs have
    strata: Any = None          # kept by the reader that finds which of its machines are alike

    @property
    def name(self) -> str:
        return self.plan["experiment"]["name"]

    @functools.cached_property
    def arms(self) -> dict[str, dict[str, Any]]:
        return {arm["name"]: arm for arm in self.plan["arms"]}

    @functools.cached_property
    def points(self) -> dict[str, dict[str, Any]]:
        return {point["id"]: point for point in self.plan["points"]}

    @functools.cached_property
    def blocks(self) -> dict[str, dict[str, Any]]:
        return {block["id"]: block for block in self.plan["blocks"]}

    def ok(self) -> list[dict[str, Any]]:
        return [r for r in self.records if r["status"] == "ok"]

    def expected(self) -> int:
        """How many runs the plan asks for."""
        return sum(len(b["order"]) for part in self.parts or [self] for b in part.plan["blocks"])


# ---- reading ----------------------------------------------------------------------------------

def load_campaign(path: Path | str, needs: Needs | None = None) -> Campaign:
    """Read a campaign, plain or merged, without changing anything in it. Every record is checked whole.

    With needs(plan), which tells what its caller reads of a record, no more than that is kept."""
    folder = Path(path)
    if (folder / "parts").is_dir():
        return _load_merged(folder, needs)
    plan = load_plan(folder)
    keep = needs(plan) if needs else None
    campaign = Campaign(folder, plan, [], [])
    points = {p["id"]: p for p in plan["points"]}
    blocks = {b["id"]: b for b in plan["blocks"]}
    accepted = journal.accepted(folder)
    for file, text, parsed in each_record(folder):
        known = accepted.pop(file.name, [])
        try:
            record = load_for_plan(file, blocks, known, text, parsed)
        except (rec.RecordError, OSError) as e:
            why = e.why if isinstance(e, rec.RecordError) else e.strerror or str(e)
            campaign.problems.append(Problem(file, why))
            continue
        point = points[blocks[record["block"]]["point"]]
        record["lab"] = {"file": str(file), "part": 0, "point": point["id"], "axes": point["axes"],
                         "types": plan.get("types", {}),
                         "node": node_of(file, record, known)}
        campaign.named.update(record["metrics"])
        campaign.records.append(keep(record) if keep else record)
    campaign.records.sort(key=lambda r: r["lab"]["file"])
    campaign.problems.sort(key=lambda p: p.file.name)
    _leave_out_other_inputs(campaign)
    return campaign


def _leave_out_other_inputs(campaign: Campaign) -> None:
    """Runs with the same parameters read the same input: of two, the one of the first run counts."""
    first: dict[str, dict[str, Any]] = {}
    for record in sorted(campaign.records, key=lambda r: str(r["times"].get("started", ""))):
        identity = record["identity"]
        if "input" not in identity:
            continue
        key = json.dumps([identity["workload"], identity["params"]], sort_keys=True)
        known = first.setdefault(key, record)
        if identity["input"] != known["identity"]["input"]:
            campaign.records.remove(record)
            campaign.problems.append(Problem(
                Path(record["lab"]["file"]),
                f"it read another input than {Path(known['lab']['file']).name} did: "
                f"{identity['params'].get('input', '')} was changed between the two; put back the "
                f"one of {known['times'].get('started', '')}, or freeze a new campaign"))


def status_with(campaigns: Iterable[Campaign], code: int) -> int:
    """An exit status, or 5 where a damaged file was left out: what was said is then of the others."""
    return 5 if any(c.problems for c in campaigns) else code


def load_for_plan(file: Path, blocks: dict[str, dict[str, Any]],
                  known: list[dict[str, Any]], text: bytes | None = None, parsed: Any = None) -> dict[str, Any]:
    """A record that is sound and is the one its file name, the plan and the journals speak of. Its text,
    and what that parses to, are given where they are known."""
    data = rec.read_record(file) if text is None else text
    record = rec.parse_record(data, file, parsed)
    why = journal.why_not(data, "sha256" in record, known)
    if why:
        raise rec.RecordError(file, why)
    name = RECORD_NAME.fullmatch(file.name)
    if name is None:
        raise rec.RecordError(file, "not a name the lab gives")
    block = blocks.get(name["block"])
    if block is None or name["arm"] not in block["order"]:
        raise rec.RecordError(file, "the plan has no such run")
    for key in ("block", "arm"):
        if record[key] != name[key]:
            raise rec.RecordError(file, f"holds {key} {record[key]!r}, its name says {name[key]!r}")
    if record["status"] != (name["status"] or "ok"):
        raise rec.RecordError(file, f"holds status {record['status']!r}, its name says "
                                    f"{name['status'] or 'ok'!r}")
    if record["repetition"] != block["repetition"]:
        raise rec.RecordError(file, f"repetition {record['repetition']}, the plan says "
                                    f"{block['repetition']}")
    if record["identity"]["seed"] != block["seed"]:
        raise rec.RecordError(file, f"seed {record['identity']['seed']}, the plan says "
                                    f"{block['seed']}")
    return record


def node_of(file: Path, record: dict[str, Any], known: list[dict[str, Any]]) -> str:
    """The machine of a run, by its manifest or else by the journal; an empty text where neither tells."""
    host = hostname_of(file.parent / "env" / f"{record['env_id']}.json") if record["env_id"] else ""
    return host or (known[-1]["node"] if known else "")


def done_runs(folder: Path) -> dict[tuple[str, str], str]:
    """{(block, arm): state} by one directory read; only what was skipped is opened."""
    found: dict[tuple[str, str], str] = {}
    for file in record_names(folder):
        name = RECORD_NAME.fullmatch(file)
        if name:
            found[name["block"], sys.intern(name["arm"])] = state_of(folder / "records" / file, name["status"]) \
                if name["status"] else "ok"
    return found


DONE = ("ok", "skipped")


def is_done(state: str | None, retry: bool = False) -> bool:
    """Whether a run of this state is not to be made: with `retry`, one that failed is."""
    if state in (None, "to do", "interrupted"):
        return False
    return state in DONE or not retry


def state_of(file: Path, status: str) -> str:
    """The status of a record; "invalid" for a skipped run that was made and could not be believed."""
    if status != "skipped":
        return status
    try:
        return "invalid" if INVALID.search(rec.read_record(file)) else status
    except (OSError, rec.RecordError):
        return status


# ---- merged campaigns -------------------------------------------------------------------------

def _load_merged(folder: Path, needs: Needs | None) -> Campaign:
    must_be_folder(folder / "parts")
    found = [p for p in sorted((folder / "parts").iterdir()) if (p / "plan.json").is_file()]
    for place in found:
        must_be_folder(place)
    parts = [load_campaign(p, needs) for p in found]
    if not parts:
        raise CampaignError(f"{folder / 'parts'}: holds no campaign")
    must_agree(parts)
    merged = Campaign(folder, _merged_plan(parts), [], [], parts)
    for index, part in enumerate(parts):
        for record in part.records:
            record["lab"]["part"] = index
        merged.records += part.records
        merged.problems += part.problems
        merged.named |= part.named
    _leave_out_other_inputs(merged)
    return merged


def must_agree(parts: list[Campaign]) -> None:
    """Refuse parts that are not of one experiment: names that mean two things, other rules of judging.

    What a machine decides may differ: its points, its arms, how many workers `all` are."""
    names = {p.name for p in parts}
    if len(names) > 1:
        raise CampaignError(f"different experiments cannot be merged: {', '.join(sorted(names))}")
    said: dict[str, tuple[Campaign, Any]] = {}
    for part in parts:
        for what, value in _meaning(part.plan):
            first, known = said.setdefault(what, (part, value))
            if known != value:
                raise CampaignError(
                    f"{first.path} and {part.path} cannot be merged: {what} is {_brief(known)} in the "
                    f"first and {_brief(value)} in the second. Merge campaigns of one experiment file")


def _meaning(plan: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What has to be equal in all parts, each with its name in a message."""
    for arm in plan["arms"]:
        yield f"arm {arm['name']!r}", [arm["driver"], arm["backend"]]
    for point in plan["points"]:
        # An input lies elsewhere on another machine; its contents are compared run by run.
        params = {k: Path(v).name if k == "input" else v for k, v in point["params"].items()}
        yield f"point {point['id']!r}", [point["workload"], params]
    for key in ("baseline", "control", "margin", "alpha", "metrics"):
        yield key, plan.get(key)
    expect = plan.get("expect", [])
    yield "the number of expectations", len(expect)
    for i, e in enumerate(expect, 1):
        yield f"expectation {i}", {k: v for k, v in e.items() if k != "line"}


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:299] + "…"


def _merged_plan(parts: list[Campaign]) -> dict[str, Any]:
    """The first part's plan, with the arms and points of all (points that differ are added)."""
    plan = dict(parts[0].plan)
    plan["arms"] = _union(parts, "arms", "name")
    plan["points"] = _union(parts, "points", "id")
    plan["types"] = {w: own for part in parts for w, own in part.plan.get("types", {}).items()}
    return plan


def _union(parts: Iterable[Campaign], key: str, name: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for entry in part.plan[key]:
            found.setdefault(entry[name], entry)
    return list(found.values())


# ---- moving files aside; never deleting -------------------------------------------------------

def quarantine(folder: Path, problem: Problem) -> Path:
    """Move a damaged file aside and say why in a note beside it."""
    place = own_folder(folder, "quarantine")
    target = free_name(place, problem.file.name.lstrip("."))
    os.rename(problem.file, target)
    note = target.with_name(target.name + ".why.txt")
    write_whole(note, (problem.why + "\n").encode("utf-8", "replace"))
    return target


def set_aside(folder: Path, file: Path) -> Path:
    """Keep a record that a new attempt is about to replace."""
    place = own_folder(folder, "attempts")
    target = free_name(place, file.name)
    os.rename(file, target)
    return target


def free_name(place: Path, name: str) -> Path:
    """`name`, or name.2, name.3 …, whichever is not taken in `place`."""
    return next(place / n for n in _numbered(name) if not os.path.lexists(place / n))


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}.{number}"
        number += 1
