# SPDX-License-Identifier: MIT
"""Records that the lab writes because the run could not: crashed, killed, or out of time.

A failure is a record, never a zero and never a gap. It names what was asked for; what only the run
could have known (its resolved composition, its measurements) is absent.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..data.machine import machine_class
from ..data.records import load_record, sealed
from ..planning import journal
from ..planning.drivers import Driver
from ..planning.specs import join_spec, split_spec
from ..tools.files import read_json, write_whole
from ..tools.redact import redact_record
from ..tools.units import base


def lost_record(file: Path, plan: dict[str, Any], block: dict[str, Any], arm: str, driver: Driver,
                status: str, reason: str, command: list[str], started: str, elapsed_s: float,
                redact: bool) -> None:
    """Write a record with the status and the reason, in place of the one that never came."""
    point = next(p for p in plan["points"] if p["id"] == block["point"])
    row = next(a for a in plan["arms"] if a["name"] == arm)
    name, settings = split_spec(join_spec(row["backend"], point["overrides"]))
    identity = {"driver": driver.name, "backend": name, "composition": settings,
                "workload": point["workload"],
                "params": {k: base(v) for k, v in point["params"].items()},
                "seed": block["seed"], "build_id": driver.build_id}
    record = {
        "schema": "shunt.run/1", "run_id": "", "identity": identity, "arm": arm,
        "repetition": block["repetition"], "block": block["id"],
        "machine_class": machine_class(), "writer": "lab",
        "status": status, "reason": " ".join(reason.split())[:500] or status,
        "argv": command,
        "times": {"started": started, "finished": journal.utc(),
                  "elapsed_ns": int(elapsed_s * 1e9)},
    }
    if redact:
        redact_record(record)
    record["run_id"] = run_id(record)
    write_record(file, record)


def run_id(record: dict[str, Any]) -> str:
    """The name of a run, as the schema defines it."""
    keys = ("arm", "block", "identity", "machine_class", "repetition")
    text = json.dumps({k: record[k] for k in keys}, sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_record(file: Path, record: dict[str, Any]) -> None:
    """One line, as `shunt` writes it; whole or not at all."""
    write_whole(file, sealed(record))


def stamp_timeout(file: Path, reason: str) -> dict[str, Any]:
    """Turn the record of a run that the lab ended for its time into one that says so."""
    record = read_json(file)
    record["status"], record["reason"] = "timeout", reason
    write_record(file, record)
    return load_record(file)
