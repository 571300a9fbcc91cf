# SPDX-License-Identifier: MIT
"""`lab merge`: campaigns of one experiment, made on several machines, in one folder.

Each plan and machine stays a part of its own, with all its files: a merged campaign loses nothing
and can be merged again. A record that is in two sources (blocks of one plan, run in copies of its
folder) is taken once; two different records of one run are kept both, the later aside.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..data import packed
from ..data.packed import read_record
from ..planning import campaign
from ..planning.kept_plan import CampaignError
from ..running.opening import UsageError
from ..tools.files import copy, read_bytes, write_whole
from ..tools.naming import lab


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "merge", help="put campaigns of several machines into one",
        description="Copy campaigns of one experiment into a new folder. Machines stay apart in "
                    "every table and figure, and are compared by ratio only.")
    p.add_argument("campaigns", metavar="CAMPAIGN", type=Path, nargs="+")
    p.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to make")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    if args.out.exists():
        raise UsageError(f"{args.out} exists; give a new folder")
    loaded = [campaign.load_campaign(c) for c in args.campaigns]
    sources = [part for c in loaded for part in c.parts or [c]]
    campaign.must_agree(sources)
    taken = doubled = aside = 0
    for source in sources:
        for problem in source.problems:
            print(f"left out: {problem}", file=sys.stderr)
        for record in source.records:
            part = _part(args.out, source, record["machine_class"])
            how = _copy(part, source, record)
            taken += how == "taken"
            doubled += how == "doubled"
            aside += how == "aside"
    if not taken:
        raise CampaignError("no record to merge")
    print(f"{taken} records in {len(list((args.out / 'parts').iterdir()))} parts"
          + (f"; {doubled} were in more than one source" if doubled else "")
          + (f"; {aside} runs had been made twice, the later is in attempts/" if aside else ""))
    print(f"next: {lab('compare', args.out)}")
    return 0


def _part(out: Path, source: campaign.Campaign, machine: str) -> Path:
    """The folder of one plan on one machine."""
    part = out / "parts" / f"{source.plan['plan_id'][:8]}-{machine}"
    if not part.is_dir():
        (part / "records" / "env").mkdir(parents=True)
        copy(source.path / "plan.json", part)
        if (source.path / "experiment.toml").is_file():
            copy(source.path / "experiment.toml", part)
    for kind, pattern in (("sessions", "*.jsonl*"), ("traces", "*.json"), ("plugins", "*.so")):
        place = source.path / kind
        for file in place.glob(pattern) if place.is_dir() else []:
            (part / kind).mkdir(exist_ok=True)
            if not (part / kind / file.name).exists():
                copy(file, part / kind)
    return part


def _copy(part: Path, source: campaign.Campaign, record: dict[str, Any]) -> str:
    file = Path(record["lab"]["file"])
    env = file.parent / "env" / f"{record['env_id']}.json"
    if record["env_id"] and env.is_file():
        copy(env, part / "records" / "env")
    earlier = [part / "records" / packed.record_name(record["block"], record["arm"], status)
               for status in ("ok", "failed", "timeout", "skipped", "interrupted")]
    there = next((e for e in earlier if e.exists()), None)
    if there is None:
        _put(file, part / "records" / file.name)
        return "taken"
    if read_bytes(there) == read_record(file):
        return "doubled"
    (part / "attempts").mkdir(exist_ok=True)
    if _better(record, there):
        campaign.set_aside(part, there)
        _put(file, part / "records" / file.name)
    else:
        _put(file, campaign.free_name(part / "attempts", file.name))
    return "aside"


def _put(file: Path, there: Path) -> None:
    """A record, packed or not, as a file."""
    if os.path.lexists(file):
        copy(file, there.parent, there.name)
    else:
        write_whole(there, read_record(file))


def _better(record: dict[str, Any], there: Path) -> bool:
    """An ok record displaces one that is not; otherwise the first stays."""
    return record["status"] == "ok" and campaign.RECORD_NAME.fullmatch(there.name)["status"] \
        is not None
