# SPDX-License-Identifier: MIT
"""`lab verify`: reads every file of a campaign and says which of them is not what it should be.

Beyond what every reader checks (schema, checksums, self-consistency, agreement with the plan) it compares
each run's name and each manifest with the hash of its content, and looks for runs that appear twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..data import machine
from ..data.packed import is_packed
from ..planning import campaign
from ..planning.campaign import Problem
from ..running import sealing
from ..running.lost import run_id
from ..running.opening import UsageError
from ..tools.naming import lab


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "verify", help="check every file of a campaign; nothing damaged is read as data",
        description="Check every file of a campaign. Exits 5 if one is damaged.")
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path)
    p.add_argument("--quarantine", action="store_true",
                   help="move damaged records aside, so that `lab run` makes them again")
    p.add_argument("--seal", action="store_true",
                   help="seal a plan that was frozen before plans had seals, if it says what the "
                        "experiment.toml beside it says")
    p.add_argument("--shunt", default="", metavar="PATH",
                   help="with --seal: the shunt that knows the types of the parameters")
    p.add_argument("--json", action="store_true", help="one JSON document instead of the text")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    if args.seal:
        print(sealing.seal_folder(args.campaign, args.shunt))
    loaded = campaign.load_campaign(args.campaign)
    parts = loaded.parts or [loaded]
    problems = [p for part in parts for p in check(part)]
    if args.quarantine and any(is_packed(part.path) for part in parts):
        raise UsageError(f"{args.campaign}: packed; `{lab('pack', '--undo', args.campaign)}` first makes files of "
                         "its records, which can be moved aside")
    if args.quarantine:
        for part in parts:
            records = {p.file: p for p in problems if p.file.parent == part.path / "records"}
            for problem in records.values():
                campaign.quarantine(part.path, problem)
    if args.json:
        json.dump({"schema": "shunt.verify/1", "records": len(loaded.records),
                   "expected": loaded.expected(),
                   "problems": [{"file": str(p.file), "why": p.why} for p in problems]},
                  sys.stdout, indent=1)
        print()
    else:
        _print(args, loaded, problems)
    return 5 if problems else 0


def _print(args: argparse.Namespace, loaded: campaign.Campaign, problems: list[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(loaded.records)} of {loaded.expected()} records are here and sound"
          + (f"; {len(problems)} problems" if problems else ""))
    if problems and not args.quarantine:
        print("damaged records are never read as data. A manifest can be put back from a copy of the "
              f"campaign. Else `{lab('verify', '--quarantine', args.campaign)}` moves the records "
              f"aside, and then `{lab('run', args.campaign)}` makes them again", file=sys.stderr)


def check(part: campaign.Campaign) -> list[Problem]:
    """Everything that is wrong in one plain campaign."""
    problems = [*part.problems, *sealing.other_rules(part)]
    seen: dict[str, str] = {}
    manifests: dict[str, str] = {}
    for record in part.records:
        file = Path(record["lab"]["file"])
        why = _misnamed(record) or _no_manifest(record, file, manifests)
        if record["run_id"] in seen:
            why = why or f"the same run as {seen[record['run_id']]}"
        seen[record["run_id"]] = file.name
        if why:
            problems.append(Problem(file, why))
    return problems


def _misnamed(record: dict[str, Any]) -> str:
    """The run_id is a hash of what was run; a record that was edited by hand gives itself away."""
    same = run_id(record) == record["run_id"]
    return "" if same else "its run_id is not the hash of what it says it ran"


def _no_manifest(record: dict[str, Any], file: Path, known: dict[str, str]) -> str:
    name = record["env_id"]
    if not name:
        return ""
    if name not in known:
        why = machine.manifest_fault(file.parent / "env" / f"{name}.json")
        known[name] = why and f"its manifest env/{name[:12]}….json {why}"
    return known[name]
