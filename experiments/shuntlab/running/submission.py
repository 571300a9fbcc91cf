# SPDX-License-Identifier: MIT
"""A campaign handed to tasks: the script that each task runs, and which tasks were submitted as which job.

    jobs/task.sh            the script, written anew by each `lab submit`
    jobs/submitted.jsonl    a line a job: {at, job, first, indices, tasks}; task = first + its array index
    jobs/12_0.out           what a task of job 12 said
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from pathlib import Path
from typing import Any

from ..planning import campaign, journal
from ..tools.files import append_to, own_folder, parse_json, read_bytes, write_whole
from .selecting import shares

SCRIPT = "task.sh"
LOG = "submitted.jsonl"


@dataclasses.dataclass(frozen=True)
class Job:
    number: str
    first: int          # the task of index 0
    tasks: int          # of how many it is one


def tasks_ahead(folder: Path, plan: dict[str, Any], count: int, retry: bool) -> list[int]:
    """The tasks of `count` in whose share a run is missing."""
    done = campaign.done_runs(folder)
    return [number for number, blocks in enumerate(shares(plan, count), 1)
            if not all(campaign.is_done(done.get((b["id"], arm)), retry) for b in blocks for arm in b["order"])]


def script(command: list[str], tasks: int, site: str) -> str:
    """What a task runs: the site's own lines, then the lab in the shell's place, so that signals reach it."""
    lines = ["#!/bin/bash -l", f"# Task $SLURM_ARRAY_TASK_ID + $1 of {tasks}; written by `lab submit`.",
             *site.strip().splitlines(),
             f'exec {shlex.join(command)} --share "$((SLURM_ARRAY_TASK_ID + $1))/{tasks}"']
    return "\n".join(lines) + "\n"


def write_script(folder: Path, text: str) -> Path:
    file = own_folder(folder, "jobs") / SCRIPT
    write_whole(file, text.encode())
    os.chmod(file, 0o755)
    return file


def note(folder: Path, job: str, first: int, indices: str, tasks: int) -> None:
    """Remember a job for certain: it is in the queue already."""
    line = {"at": journal.utc(), "job": job, "first": first, "indices": indices, "tasks": tasks}
    with open(append_to(own_folder(folder, "jobs") / LOG), "a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
        out.flush()
        os.fsync(out.fileno())


def jobs(folder: Path) -> dict[str, Job]:
    """The jobs that were submitted for a campaign, by their numbers; a damaged line is passed over."""
    found = {}
    try:
        text = read_bytes(folder / "jobs" / LOG)
    except FileNotFoundError:
        return {}
    for line in text.splitlines():
        try:
            row = parse_json(line)
            found[str(row["job"])] = Job(str(row["job"]), int(row["first"]), int(row["tasks"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found
