# SPDX-License-Identifier: MIT
"""Runs what a frozen plan still lacks, block by block, and keeps every result as soon as it exists.

A run is one process of one driver. It writes its record to a dot-file in records/ (or to a disk of this
machine's own, from where it is then moved); the record is read back, compared with the plan, and given its
final name. Killing the lab at any instant
leaves either a whole record or none, and what was left half-way is settled when its block is next
taken. Nothing is kept in memory that the folder does not hold.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any, Callable

from ..data import packed, records as rec
from ..planning import campaign, journal, schedule
from ..planning.campaign import Problem
from ..planning.drivers import Driver
from ..tools import process
from ..tools.files import copy, must_be_folder, own_folder
from ..tools.locks import Busy, Lock
from ..tools.naming import lab
from ..tools.trust import Refused
from .lost import lost_record, stamp_timeout
from .progress import Progress, kind_of

FREE_BYTES_MIN = 4 << 20
WAIT_S = 5.0            # between looks at a lock that may go stale


class Changed(rec.RecordError):
    """A record of another build than the one this session began with."""


@dataclasses.dataclass
class Options:
    cpus: list[int]
    retry: bool = False
    blocks: set[str] | None = None                  # None: all
    wanted: Callable[[dict, dict, str], bool] = lambda plan_point, block, arm: True
    strict: bool = False
    redact: bool = False
    waits: bool = False                             # for locks of the dead
    scratch: Path | None = None                     # where runs write; None: in the campaign


@dataclasses.dataclass
class Tally:
    """What happened to the runs that this session looked at."""
    done_before: int = 0
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    reasons: dict[str, tuple[int, str, str, str]] = dataclasses.field(default_factory=dict)
    quarantined: list[str] = dataclasses.field(default_factory=list)
    busy: dict[str, str] = dataclasses.field(default_factory=dict)

    def note(self, status: str, reason: str, block: str, arm: str) -> None:
        self.counts[status] = self.counts.get(status, 0) + 1
        if status != "ok":
            text = f"{status}: {reason}"
            kind = rec.kind_of_reason(text)
            times, *first = self.reasons.get(kind, (0, text, block, arm))
            self.reasons[kind] = (times + 1, *first)


class Runner:
    def __init__(self, folder: Path, plan: dict[str, Any], drivers: dict[str, Driver],
                 options: Options, progress: Progress, stop: process.Stop):
        self.folder, self.plan, self.drivers = folder, plan, drivers
        self.options, self.progress, self.stop = options, progress, stop
        self.records = folder / "records"
        self.drafts = options.scratch or self.records
        self.points = {p["id"]: p for p in plan["points"]}
        self.blocks = {b["id"]: b for b in plan["blocks"]}
        self.arms = {a["name"]: a for a in plan["arms"]}
        self.tally = Tally()
        self.session: journal.Session | None = None
        self.fresh: set[str] = set()        # record files that this session made

    # -- the whole --

    def run(self, head: dict[str, Any]) -> Tally:
        """Run everything selected that is not done. Raises Refused; never loses a result."""
        own_folder(self.folder, "records", "env")
        for name in ("attempts", "quarantine", "sessions", "traces", "locks"):
            must_be_folder(self.folder / name)
        self.check_space()
        self.sweep_damaged()
        todo = self.missing()
        ahead = [kind_of(self.points[self.blocks[b]["point"]], arm)
                 for b, arms in todo.items() for arm in arms]
        self.progress.start(ahead, self.tally.done_before)
        if not todo:
            return self.tally
        self.session = journal.Session(self.folder, head, self.options.redact)
        how = "broken off"
        try:
            for block_id in todo:
                if self.stop:
                    break
                self.run_block(self.blocks[block_id])
            if self.options.waits:
                self.take_over()
            how = "interrupted" if self.stop else "complete"
        finally:
            self.progress.stop()
            try:
                self.session.close(how)
            except OSError:
                pass    # a full disk; the records are what counts
        return self.tally

    def missing(self) -> dict[str, list[str]]:
        """{block: arms still to run}, from one directory read."""
        done = campaign.done_runs(self.folder)
        found: dict[str, list[str]] = {}
        for block in self.plan["blocks"]:
            for arm in block["order"]:
                if not self.selected(block, arm):
                    continue
                if self.is_done(done.get((block["id"], arm))):
                    self.tally.done_before += 1
                else:
                    found.setdefault(block["id"], []).append(arm)
        return found

    def selected(self, block: dict[str, Any], arm: str) -> bool:
        if self.options.blocks is not None and block["id"] not in self.options.blocks:
            return False
        return self.options.wanted(self.points[block["point"]], block, arm)

    def is_done(self, status: str | None) -> bool:
        return campaign.is_done(status, self.options.retry)

    def sweep_damaged(self) -> None:
        """Move damaged records aside. Those unchanged since they were accepted are not opened."""
        known = journal.accepted(self.folder)
        for file in campaign.record_files(self.folder):
            if not self.is_mine(file.name):
                continue
            try:
                if not journal.is_as_accepted(file, known.get(file.name, [])):
                    campaign.load_for_plan(file, self.blocks, known.get(file.name, []))
            except rec.RecordError as e:
                self.put_away(file, e.why)
            except FileNotFoundError as e:
                if file.is_symlink():      # else another lab has just put it away
                    self.put_away(file, f"no file: {e.strerror}")

        if self.reads_files():
            for problem in campaign.load_campaign(self.folder).problems:
                self.put_away(problem.file, problem.why)

    def is_mine(self, record: str) -> bool:
        """Whether a record file is of a block that this session may run; others look after the rest."""
        return self.options.blocks is None or record.partition(".")[0] in self.options.blocks

    def reads_files(self) -> bool:
        return any("input" in point["params"] for point in self.plan["points"])

    def put_away(self, file: Path, why: str) -> None:
        aside = campaign.quarantine(self.folder, Problem(file, why))
        self.tally.quarantined.append(f"{file.name}: {why} (kept as "
                                      f"{aside.relative_to(self.folder)}; will run again)")

    def check_space(self) -> None:
        for folder in {self.folder, self.drafts}:
            space = os.statvfs(folder)
            if space.f_bavail * space.f_frsize < FREE_BYTES_MIN:
                raise Refused(self.full_message(folder))

    def full_message(self, folder: Path | None = None) -> str:
        return (f"{folder or self.folder}: the disk is full. Every finished run is kept; make room, then go "
                f"on with `{lab('run', self.folder)}`")

    # -- a block --

    def run_block(self, block: dict[str, Any]) -> None:
        try:
            lock = Lock(own_folder(self.folder, "locks"), block["id"]).take()
        except Busy as e:
            self.tally.busy[block["id"]] = str(e)
            return
        except OSError as e:
            raise self.refusal(e) from None
        with lock:
            try:
                self.settle(block)
                self.run_arms(block, lock)
            except OSError as e:
                raise self.refusal(e) from None

    def take_over(self) -> None:
        """Run the blocks that a dead task left locked, once its locks are stale.

        A lock that its owner refreshes meanwhile, or that was refreshed by a new one, is left to it."""
        locks = {b: Lock(self.folder / "locks", b) for b in self.tally.busy}
        heard = {b: lock.heard() for b, lock in locks.items()}
        while locks and not self.stop.wait(WAIT_S):
            for block in list(locks):
                now = locks[block].heard()
                if now and now != heard[block]:
                    del locks[block]
                    continue
                del self.tally.busy[block]
                self.run_block(self.blocks[block])
                if block not in self.tally.busy:
                    del locks[block]

    def refusal(self, e: OSError) -> Exception:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            return Refused(self.full_message())
        if e.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return Refused(f"{e.filename or self.folder}: {e.strerror}; the campaign's folder must "
                           "be writable")
        return e

    def run_arms(self, block: dict[str, Any], lock: Lock) -> None:
        """The arms that are missing, then those whose pair was measured elsewhere."""
        for _ in range(2):
            for arm in block["order"]:
                if self.stop:
                    return
                if not self.selected(block, arm):
                    continue
                if not self.is_done(self.status_now(block["id"], arm)):
                    self.run_one(block, arm, lock)
            if not self.set_aside_strangers(block):
                break
        self.trace_arms(block, lock)

    def status_now(self, block: str, arm: str) -> str | None:
        """As done_runs, but for one run, and now: another machine may have done it meanwhile."""
        for status in rec.STATUSES:
            file = self.records / packed.record_name(block, arm, status)
            if file.exists():
                return campaign.state_of(file, status)
        return None

    def settle(self, block: dict[str, Any]) -> None:
        """Adopt or remove what a killed lab or run left of this block."""
        for file in sorted(self.records.glob(f".{block['id']}.*")):
            arm = file.name[len(block["id"]) + 2:].removesuffix(".json")
            if not file.name.endswith(".json") or arm not in block["order"]:
                file.unlink()       # a write that was cut off before its rename
                continue
            try:
                if file.is_symlink():
                    raise rec.RecordError(file, "a symbolic link, which no run leaves")
                record = self.read_back(file, block, arm)
            except rec.RecordError as e:
                campaign.quarantine(self.folder, Problem(file, e.why))
                continue
            if self.status_now(block["id"], arm) is None:
                self.accept(file, record, block, arm, 0.0)
            else:
                file.unlink()

    def set_aside_strangers(self, block: dict[str, Any]) -> bool:
        """A pair is two runs of one machine and one build. Where a resumed block mixes them, the
        older ones are set aside to run again. True if there were any."""
        found = {}
        for arm in block["order"]:
            file = self.records / packed.record_name(block["id"], arm, "ok")
            if file.exists():
                found[file] = rec.load_record(file)
        mine = {f: r for f, r in found.items() if f.name in self.fresh}
        if not mine or len(mine) == len(found):
            return False
        known = journal.accepted(self.folder)
        machines = {f: (r["machine_class"], campaign.node_of(f, r, known.get(f.name, []))) for f, r in found.items()}
        machine = machines[next(iter(mine))]
        builds = {r["identity"]["driver"]: r["identity"]["build_id"] for r in mine.values()}
        strangers = [f for f, r in found.items() if f not in mine and (
            machines[f] != machine or
            builds.get(r["identity"]["driver"], r["identity"]["build_id"])
            != r["identity"]["build_id"])]
        for file in strangers:
            campaign.set_aside(self.folder, file)
            arm = campaign.RECORD_NAME.fullmatch(file.name)["arm"]
            self.progress.more(kind_of(self.points[block["point"]], arm))
        return bool(strangers)

    def trace_arms(self, block: dict[str, Any], lock: Lock) -> None:
        """One traced run of each arm, beside the measured ones: a trace disturbs what it shows."""
        if block["repetition"] != 1 or not self.points[block["point"]].get("trace"):
            return
        place = own_folder(self.folder, "traces")
        for arm in block["order"]:
            file = place / f"{block['id']}.{arm}.json"
            if self.stop or os.path.lexists(file) or self.status_now(block["id"], arm) != "ok":
                continue
            if self.arms[arm]["driver"] != "shunt" or arm == self.plan["control"]:
                continue
            record = place / f"{block['id']}.{arm}.record.json"
            record.unlink(missing_ok=True)
            process.run([*self.command(block, arm), "--iters", "1", "--trace", str(file),
                         "--record", str(record)], self.options.cpus,
                        schedule.timeout_of(self.plan, self.points[block["point"]]), self.stop,
                        lambda: self.alive(lock))

    def alive(self, lock: Lock) -> None:
        """Called now and then while a run takes long."""
        lock.refresh()
        self.progress.tick()

    # -- a run --

    def command(self, block: dict[str, Any], arm: str) -> list[str]:
        driver = self.drivers[self.arms[arm]["driver"]]
        return [*driver.command, *schedule.run_arguments(self.plan, block, arm)]

    def run_one(self, block: dict[str, Any], arm: str, lock: Lock) -> None:
        point = self.points[block["point"]]
        lock.refresh()
        file = self.drafts / f".{block['id']}.{arm}.json"
        command = self.command(block, arm) + ["--record", str(file)]
        if self.options.strict:
            command.append("--strict")
        if self.options.redact:
            command.append("--redact")
        self.progress.begin(block, point, arm)
        started = journal.utc()
        outcome = process.run(command, self.options.cpus, schedule.timeout_of(self.plan, point),
                              self.stop, lambda: self.alive(lock))
        record, source = self.result(self.brought(file), block, arm, outcome, command, started)
        if record is None:
            return      # stopped before it had anything to say
        status = self.accept(source, record, block, arm, outcome.elapsed_s)
        self.tally.note(status, record["reason"], block["id"], arm)
        self.progress.end(block, point, arm, status, record["reason"], outcome.elapsed_s)

    def brought(self, draft: Path) -> Path:
        """The record of a run, in the campaign: moved there with its manifest from the scratch folder."""
        file = self.records / draft.name
        if self.drafts == self.records or not draft.exists():
            return file
        for manifest in (self.drafts / "env").glob("*.json"):
            if not (self.records / "env" / manifest.name).exists():
                copy(manifest, self.records / "env")
        copy(draft, self.records)
        draft.unlink()
        return file

    def result(self, file: Path, block: dict[str, Any], arm: str, outcome: process.Outcome,
               command: list[str], started: str) -> tuple[dict[str, Any] | None, Path]:
        """The record of a run that has ended, written by the driver or else by the lab."""
        why = outcome.why()
        if file.exists():
            try:
                record = self.read_back(file, block, arm)
                if outcome.timed_out and record["status"] == "interrupted":
                    record = stamp_timeout(file, self.timeout_reason(block))
                return record, file
            except rec.RecordError as e:
                campaign.quarantine(self.folder, Problem(file, e.why))
                if isinstance(e, Changed):
                    raise Refused(self.gone(arm, "was rebuilt")) from None
                why = f"its record was refused: {e.why}"
        if outcome.stopped:
            return None, file
        if outcome.not_started:
            raise Refused(self.gone(arm, f"cannot be started any more ({outcome.stderr})"))
        self.check_space()
        status = "timeout" if outcome.timed_out else "failed"
        if outcome.timed_out:
            why = self.timeout_reason(block)
        lost_record(file, self.plan, block, arm, self.drivers[self.arms[arm]["driver"]], status, why,
                    command, started, outcome.elapsed_s, self.options.redact)
        return rec.load_record(file), file

    def gone(self, arm: str, what: str) -> str:
        return (f"the driver {self.arms[arm]['driver']} {what} while the campaign was running. "
                "Nothing finished is lost: put back the build it was begun with, then "
                f"`{lab(f'run {self.folder}')}`")

    def timeout_reason(self, block: dict[str, Any]) -> str:
        limit = schedule.timeout_of(self.plan, self.points[block["point"]])
        return f"not finished within {limit:g} s"

    def read_back(self, file: Path, block: dict[str, Any], arm: str) -> dict[str, Any]:
        """A record as its driver wrote it, if it is the one that was asked for."""
        record = rec.load_record(file)
        driver = self.drivers[self.arms[arm]["driver"]]
        said = record["identity"]
        wanted = {"arm": arm, "block": block["id"], "repetition": block["repetition"]}
        for key, value in wanted.items():
            if record[key] != value:
                raise rec.RecordError(file, f"{key} is {record[key]!r}, asked for {value!r}")
        # Another build of shunt as a driver of its own has its own name here alone.
        name = said["driver"] if said["driver"] == "shunt" else driver.name
        for key, value in (("driver", name), ("seed", block["seed"]),
                           ("workload", self.points[block["point"]]["workload"])):
            if said[key] != value:
                raise rec.RecordError(file, f"{key} is {said[key]!r}, asked for {value!r}")
        if record["status"] == "ok" and said["build_id"] != driver.build_id:
            raise Changed(file, f"build_id {said['build_id'][:12]}, expected "
                                f"{driver.build_id[:12]}: the driver changed meanwhile")
        return record

    def accept(self, file: Path, record: dict[str, Any], block: dict[str, Any], arm: str,
               elapsed_s: float) -> str:
        """Give a checked record its final name; an earlier attempt of the same run moves aside."""
        for status in rec.STATUSES:
            old = self.records / packed.record_name(block["id"], arm, status)
            if old.exists():
                campaign.set_aside(self.folder, old)
        final = self.records / packed.record_name(block["id"], arm, record["status"])
        self.name(file, final)
        _sync_folder(self.records)
        self.fresh.add(final.name)
        if self.session:
            self.session.accepted(final, record["status"], elapsed_s, rec.probe_times(record))
        return record["status"]


    def name(self, file: Path, final: Path) -> None:
        """Give a record its name. One that another machine made and that was hidden here moves aside."""
        try:
            os.link(file, final)
        except FileExistsError:
            campaign.set_aside(self.folder, final)
            os.link(file, final)
        except OSError:             # a file system without hard links
            os.rename(file, final)
            return
        file.unlink()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
