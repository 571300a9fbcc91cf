# SPDX-License-Identifier: MIT
"""`lab status`: how far a campaign is, what failed and why, and the command of any run."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any, Iterator

from ..data import records as rec
from ..planning import campaign, drivers, journal, kept_plan, schedule
from ..planning.experiment import nearest
from ..running import opening, slurm, submission
from ..statistics import disturbance
from ..tools import locks
from ..tools.naming import lab
from ..tools.trust import Refused

STATES = ("ok", "failed", "timeout", "invalid", "skipped", "interrupted", "to do")


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "status", help="how far a campaign is, what failed, and the command of any run",
        description="Say how far a campaign is. With --command, print the command that makes one "
                    "run alone, outside the campaign: paste it, add --narrate, run it under perf "
                    "or gdb.")
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path)
    p.add_argument("--command", default="", metavar="RUN", dest="which",
                   help="a run (b0007.asm), a block (b0007: all its arms), or a point: its first "
                        "block's commands")
    p.add_argument("--shunt", default="", metavar="PATH", help="the shunt to name in commands")
    p.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    folders = _folders(args.campaign)
    if args.which:
        return _print_commands(folders[0], args)
    rows = [_state_of(folder) for folder in folders]
    if args.json:
        print(json.dumps({"schema": "shunt.status/1", "campaigns": rows}, indent=1))
    else:
        for row in rows:
            _print(row)
    failed = any(r["states"].get("failed", 0) + r["states"].get("timeout", 0) for r in rows)
    return 3 if failed else 0


def _folders(path: Path) -> list[Path]:
    parts = path / "parts"
    if parts.is_dir():
        return sorted(p for p in parts.iterdir() if (p / "plan.json").is_file())
    return [path]


def _state_of(folder: Path) -> dict[str, Any]:
    the_plan = kept_plan.load_plan(folder)
    done = campaign.done_runs(folder)
    arms: dict[str, dict[str, int]] = {}
    for block in the_plan["blocks"]:
        for arm in block["order"]:
            state = done.get((block["id"], arm), "to do")
            counts = arms.setdefault(arm, {})
            counts[state] = counts.get(state, 0) + 1
    states: dict[str, int] = {}
    for counts in arms.values():
        for state, n in counts.items():
            states[state] = states.get(state, 0) + n
    order = [a["name"] for a in the_plan["arms"] if a["name"] in arms]
    return {"campaign": str(folder), "experiment": the_plan["experiment"]["name"],
            "plan": opening.describe(the_plan), "plan_id": the_plan["plan_id"],
            "states": states, "arms": {a: arms[a] for a in order},
            "reasons": _reasons(folder), **_probed(folder, the_plan), "queue": _queue(folder),
            "running": locks.held(folder / "locks"),
            "quarantined": _quarantined(folder)}


def _reasons(folder: Path) -> list[dict[str, Any]]:
    """Why runs are not ok, the most frequent first; damaged files are `verify`'s business.

    Reasons that differ in a number alone are one, told as the first run has it."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for file in campaign.record_names(folder):
        name = campaign.RECORD_NAME.fullmatch(file)
        if not name or not name["status"]:
            continue
        try:
            reason = rec.load_record(folder / "records" / file)["reason"]
        except (OSError, rec.RecordError):
            reason = "its record cannot be read"
        key = (name["status"], name["arm"], rec.kind_of_reason(reason))
        row = found.setdefault(key, {"status": key[0], "arm": key[1], "reason": reason, "runs": 0,
                                     "first": f"{name['block']}.{name['arm']}"})
        row["runs"] += 1
    return sorted(found.values(), key=lambda row: -row["runs"])


def _probed(folder: Path, the_plan: dict[str, Any]) -> dict[str, Any]:
    """What the journals know of the interference probe, without opening a record."""
    known, runs = journal.probes(folder), {}
    drivers_of = {a["name"]: a["driver"] for a in the_plan["arms"]}
    for file in campaign.record_names(folder) if known else ():
        name = campaign.RECORD_NAME.fullmatch(file)
        if name and file in known:
            boot, times = known[file]
            runs[f"{name['block']}.{name['arm']}"] = (boot, drivers_of.get(name["arm"])), times
    return {"probed": len(runs), "slowed": disturbance.slowed(runs)}


def _queue(folder: Path) -> dict[str, Any] | None:
    """What the cluster's queue says of the tasks; None where none were submitted. It decides nothing."""
    known = submission.jobs(folder)
    if not known:
        return None
    try:
        tasks = slurm.queue(set(known))
    except Refused as e:
        return {"problem": str(e), "tasks": []}
    return {"problem": "", "tasks": [{"task": known[t.job].first + t.index, "of": known[t.job].tasks,
                                      "job": f"{t.job}_{t.index}", "state": t.state, "node": t.node,
                                      "reason": t.reason} for t in tasks]}


def _quarantined(folder: Path) -> list[str]:
    place = folder / "quarantine"
    return sorted(p.name for p in place.glob("*") if not p.name.endswith(".why.txt")) \
        if place.is_dir() else []


def _say(text: str, indent: str = "") -> None:
    """A line, folded where the terminal ends: at 80 columns where no terminal is."""
    for line in textwrap.wrap(text, shutil.get_terminal_size().columns, initial_indent=indent,
                              subsequent_indent=indent + "  ", break_long_words=False, break_on_hyphens=False):
        print(line)


def _print(row: dict[str, Any]) -> None:
    _say(row["plan"])
    total = sum(row["states"].values())
    done = total - row["states"].get("to do", 0) - row["states"].get("interrupted", 0)
    print(f"{done} of {total} runs done ({100 * done // total if total else 100} %)")
    shown = [s for s in STATES if row["states"].get(s)]
    width = max((len(a) for a in row["arms"]), default=3)
    print(f"  {'arm':<{width}}  " + "  ".join(f"{s:>11}" for s in shown))
    for arm, counts in row["arms"].items():
        cells = "  ".join(f"{counts.get(s, 0) or '-':>11}" for s in shown)
        print(f"  {arm:<{width}}  {cells}")
    for r in row["reasons"][:10]:
        _say(f"{r['runs']} × {r['arm']} {r['status']}: {r['reason']} (first: {r['first']})", "  ")
    for text in disturbance.slowed_text(row["slowed"], row["probed"]):
        _say(text, "  ")
    for name, who in row["running"].items():
        _say(f"{name}: {who}", "  ")
    if row["quarantined"]:
        _say(f"{len(row['quarantined'])} damaged files were moved to quarantine/", "  ")
    name = opening.shown(Path(row["campaign"]))
    for line in _queue_lines(row["queue"], name, done < total) if row["queue"] else []:
        _say(line)
    if done < total and not row["queue"]:
        print("go on with: " + lab("run", name))


def _queue_lines(queue: dict[str, Any], name: str, unfinished: bool) -> Iterator[str]:
    if queue["problem"]:
        yield f"the queue cannot be asked: {queue['problem']}"
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for t in queue["tasks"]:
        groups.setdefault((t["state"], "" if t["state"] == "RUNNING" else t["reason"]), []).append(t)
    for (state, reason), some in groups.items():
        nodes = sorted({t["node"] for t in some} - {""})
        yield (f"queue: {len(some)} task{'s' * (len(some) != 1)} {state.lower()}"
               + (f" on {', '.join(nodes[:8])}{', …' * (len(nodes) > 8)}" if nodes else "")
               + (f" ({reason})" if reason not in ("", "None") else ""))
    if unfinished and not queue["tasks"] and not queue["problem"]:
        yield (f"no task is in the queue any more; {name}/jobs/*.out is what they said, and "
               f"`{lab('submit', name)} --tasks N` submits what is left")




def _print_commands(folder: Path, args: argparse.Namespace) -> int:
    the_plan = drivers.with_own_plugins(folder, kept_plan.load_plan(folder))
    rows = {a["name"]: a for a in the_plan["arms"]}
    runs = _find(the_plan, args.which)
    found = drivers.find({rows[arm]["driver"] for _, arm in runs}, the_plan.get("commands", {}),
                         args.shunt)
    for block, arm in runs:
        driver = found[rows[arm]["driver"]]
        words = (driver.command or [driver.name]) + schedule.run_arguments(the_plan, block, arm)
        print(shlex.join(words))
    return 0


def _find(the_plan: dict[str, Any], which: str) -> list[tuple[dict[str, Any], str]]:
    blocks = {b["id"]: b for b in the_plan["blocks"]}
    run = re.fullmatch(r"(b?\d+)(?:\.([\w+-]+))?", which)
    if run:
        name = run[1] if run[1].startswith("b") else f"b{int(run[1]):04d}"
        if name not in blocks:
            raise opening.UsageError(f"no block {name}; the plan has b0001 to {list(blocks)[-1]}")
        block = blocks[name]
        arms = [run[2]] if run[2] else block["order"]
        if run[2] and run[2] not in block["order"]:
            raise opening.UsageError(f"{name} has no arm {run[2]!r}"
                                     f"{nearest(run[2], block['order'])} "
                                     f"(it has {', '.join(block['order'])})")
        return [(block, arm) for arm in arms]
    for block in the_plan["blocks"]:
        if block["point"] == which:
            return [(block, arm) for arm in sorted(block["order"])]
    ids = [p["id"] for p in the_plan["points"]]
    raise opening.UsageError(f"no run, block or point {which!r}{nearest(which, ids)}")
