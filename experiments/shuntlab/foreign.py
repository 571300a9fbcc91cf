# SPDX-License-Identifier: MIT
"""What a driver written in Python needs: its command line, its histogram, its record.

A driver gives main() its name and its workloads; a workload is a class with PARAMS, COST (the name
of time per operation), setup(run), iterate(run) and verify(run). Everything that makes a record
comparable with one of `shunt` is here: the same parameters and notation, the same generator, the
same clock readings around an iteration, the same medians, the same schema.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable

from . import machine, records, redact, units
from .files import own_folder, write_whole
from .lost import run_id, write_record
from .journal import utc
from .plan import split_spec
from .experiment import nearest

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


class Usage(Exception):
    """A wrong command line; exit status 2."""


class Skip(Exception):
    """This driver or this machine cannot do it; a record says why."""


class Failure(Exception):
    """The run failed; a record says why."""


class Interrupted(Exception):
    """A signal ended the run."""


def splitmix64(state: int) -> tuple[int, int]:
    """(next state, number): core/rng.h's shunt_splitmix64."""
    state = (state + GOLDEN) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def share(total: int, parts: int, index: int) -> int:
    """The index-th part when total is divided as evenly as can be, larger parts first."""
    return total // parts + (index < total % parts)


# Those of core/measure/record_fields.c.
QUANTILES = {"p50": .5, "p90": .9, "p95": .95, "p99": .99, "p99.9": .999, "p99.99": .9999,
             "p99.999": .99999}


class Series:
    """core/measure/hist.h in Python: log-linear, three significant digits."""

    def __init__(self, unit: str = "ns"):
        self.unit, self.buckets, self.count, self.sum = unit, {}, 0, 0
        self.least, self.greatest, self.negative = 1 << 63, 0, 0

    def record(self, value: int, times: int = 1) -> None:
        if value < 0:
            self.negative += times
            value = 0
        shift = max(value.bit_length() - 11, 0)
        index = (shift << 10) + (value >> shift)
        self.buckets[index] = self.buckets.get(index, 0) + times
        self.count += times
        self.sum += value * times
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)

    def document(self, digits: int = 3) -> dict[str, Any]:
        """As a record holds it. The quantiles are those of 3 digits, however many are kept."""
        made: dict[str, Any] = {
            "unit": self.unit, "count": self.count, "digits": 3,
            "sum": self.sum if self.sum < 1 << 53 else str(self.sum),
            "buckets": [[i, self.buckets[i]] for i in sorted(self.buckets)], "quantiles": {}}
        if self.negative:
            made["negative"] = self.negative
        if self.count:
            made["min"], made["max"] = self.least, self.greatest
            made["quantiles"] = {
                name: records.quantile(made, q)
                for name, q in QUANTILES.items()
                if records.enough_samples(self.count, q)}
        return records.coarsen(made, digits)


class Run:
    """One run in progress: what was asked for, and where results go."""

    def __init__(self, params: dict[str, Any], seed: int, given: set[str]):
        self.params, self.seed, self.given = params, seed, given
        self.operations = 0
        self.warming_up = True
        self.series: dict[str, Series] = {}
        self.counters: dict[str, int] = {}
        self.checks: list[dict[str, Any]] = []
        self.extra: dict[str, tuple[float, str, str]] = {}
        self.facts: dict[str, str] = {}
        self.begin_ns = self.end_ns = self.cpu_begin_ns = self.cpu_end_ns = 0

    def __getitem__(self, name: str) -> Any:
        return self.params[name]

    def recorder(self, name: str, unit: str = "ns") -> Callable[..., None]:
        """Where an iteration's samples of a series go; warm-up samples go nowhere."""
        kept = Series(unit) if self.warming_up else self.series.setdefault(name, Series(unit))
        return kept.record

    def begin(self) -> None:
        self.cpu_begin_ns = time.process_time_ns()
        self.begin_ns = time.monotonic_ns()

    def end(self) -> None:
        self.end_ns = time.monotonic_ns()
        self.cpu_end_ns = time.process_time_ns()

    def metric(self, name: str, value: float, unit: str, better: str) -> None:
        self.extra[name] = (value, unit, better)

    def check(self, name: str, expected: int, actual: int) -> None:
        self.checks.append({"name": name, "expected": str(expected), "actual": str(actual),
                            "ok": expected == actual})


# A parameter: (type, default, least, greatest) or ("choice", default, names).
Param = tuple


def read_params(workload: str, table: dict[str, Param], given: dict[str, str]) -> dict[str, Any]:
    values = {name: _read(workload, name, row, row[1]) for name, row in table.items()}
    for name, text in given.items():
        if name not in table:
            raise Usage(f"{workload} has no parameter {name!r} in this driver"
                        f"{nearest(name, table)}")
        values[name] = _read(workload, name, table[name], text)
    return values


def _read(workload: str, name: str, row: Param, text: str) -> Any:
    kind = row[0]
    if kind == "choice":
        if text not in row[2]:
            raise Usage(f"{workload}: {name}={text} is not one of {', '.join(row[2])}"
                        f"{nearest(text, row[2])}")
        return text
    if kind == "text":
        return text
    if kind == "real":
        value: Any = _real(text)
    else:
        value = units.duration_ns(text) if kind == "duration" else units.count(text)
    if value is None or not row[2] <= value <= row[3]:
        raise Usage(f"{workload}: {name}={text} is not a {kind} from {row[2]} to {row[3]}")
    return value


def _real(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# ---- the command line --------------------------------------------------------------------------

_OPTIONS = {"seed": "42", "warmup": "1", "iters": "5", "record": "", "arm": "", "repetition": "0",
            "block": "", "redact": "", "digits": "3"}


def parse(words: list[str]) -> tuple[list[str], dict[str, str], bool]:
    """(plain words, options, whether --json was given)."""
    plain: list[str] = []
    options = dict(_OPTIONS)
    as_json = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--json":
            as_json = True
        elif word == "--strict":
            pass        # judged by the lab's own machine, not by a foreign runtime
        elif word == "--redact":
            options["redact"] = "1"
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name not in _OPTIONS:
                raise Usage(f"unknown option --{name}"
                            f"{nearest('--' + name, ['--' + o for o in _OPTIONS])}")
            if not equals:
                if not rest:
                    raise Usage(f"--{name} needs a value")
                value = rest.pop(0)
            options[name] = value
        else:
            plain.append(word)
    for name, least in (("seed", 0), ("warmup", 0), ("iters", 1), ("repetition", 0)):
        if not options[name].isdigit() or int(options[name]) < least:
            raise Usage(f"--{name} {options[name]!r} is not a whole number of at least {least}")
    if int(options["seed"]) > MASK:
        raise Usage(f"--seed {options['seed']} is more than 64 bits hold")
    if options["digits"] not in ("2", "3"):
        raise Usage(f"--digits {options['digits']!r} is not 2 or 3")
    return plain, options, as_json


def main(name: str, version: str, build_id: str, facts: dict[str, tuple[str, str]],
         composition: dict[str, str], workloads: dict[str, Any],
         settle: Callable[[dict[str, str]], None], words: list[str]) -> int:
    """The driver's main program. `settle` judges the backend's settings (Skip or Usage)."""
    try:
        if words[:1] == ["version"]:
            print(json.dumps({"driver": name, "version": version, "build_id": build_id}))
            return 0
        if words[:1] == ["list"]:
            print(json.dumps({"workloads": [{"name": w} for w in workloads]}))
            return 0
        if words[:1] != ["run"]:
            raise Usage(f"use: {name} run {name} WORKLOAD [key=value …] [--seed N] [--record FILE]")
        plain, options, as_json = parse(words[1:])
        return _run(name, version, build_id, facts, composition, workloads, settle, plain, options,
                    as_json)
    except Usage as e:
        print(f"{name}: {e}", file=sys.stderr)
        return 2


def _run(name, version, build_id, facts, composition, workloads, settle, plain, options,
         as_json) -> int:
    if len(plain) < 2:
        raise Usage("run needs a backend and a workload")
    backend, settings = split_spec(plain[0])
    if backend != name:
        raise Usage(f"no backend {backend!r} in this driver; it is {name!r}")
    if plain[1] not in workloads:
        raise Usage(f"no workload {plain[1]!r} in this driver{nearest(plain[1], workloads)}"
                    f" (it has {', '.join(workloads)})")
    given = dict(word.partition("=")[::2] for word in plain[2:])
    target = Path(options["record"]) if options["record"] else None
    if target and target.exists() and target.is_file():
        raise Usage(f"{target} exists; a record is never overwritten")
    workload = workloads[plain[1]]()
    values = read_params(plain[1], workload.PARAMS, given)
    run = Run(values, int(options["seed"]), set(given))
    record = _empty(name, version, build_id, backend, composition | settings, plain[1], options)
    _perform(workload, run, record, options, settle, settings)
    record["identity"]["params"] = {k: str(v) for k, v in run.params.items() if v != ""}
    if options["redact"]:
        redact.redact_record(record)
    _finish(record, machine.manifest(facts, bool(options["redact"])), target, as_json)
    if record["status"] != "ok":
        print(f"{name}: {record['status']}: {record['reason']}", file=sys.stderr)
    return {"ok": 0, "interrupted": 130}.get(record["status"],
                                              1 if "wrong answer" in record["reason"] else 3)


def _empty(name, version, build_id, backend, composition, workload, options) -> dict[str, Any]:
    return {
        "schema": "shunt.run/1", "run_id": "",
        "identity": {"driver": name, "backend": backend, "composition": composition,
                     "workload": workload, "params": {}, "seed": str(int(options["seed"])),
                     "build_id": build_id},
        "arm": options["arm"] or backend, "repetition": int(options["repetition"]),
        "block": options["block"], "machine_class": "", "writer": version, "status": "ok",
        "reason": "", "argv": sys.argv, "times": {"started": utc(), "finished": "",
                                                  "elapsed_ns": time.monotonic_ns()},
        "interference": {"before": machine.interference(), "after": {}},
        "clock": {"source": "monotonic", "read_cost_ns": _clock_cost()}}


def _clock_cost() -> float:
    started = time.monotonic_ns()
    for _ in range(1000):
        last = time.monotonic_ns()
    return (last - started) / 1000


def _perform(workload, run: Run, record: dict[str, Any], options: dict[str, str], settle,
             settings: dict[str, str]) -> None:
    def stop(number: int, frame: object) -> None:
        raise Interrupted(signal.Signals(number).name)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:      # what was ignored at the start stays ignored
            signal.signal(number, stop)
    try:
        settle(settings)
        workload.setup(run)
        if run.facts:
            record["facts"] = run.facts
        _iterate(workload, run, record, int(options["warmup"]), int(options["iters"]))
        record["series"] = {key: s.document(int(options["digits"]))
                            for key, s in run.series.items() if s.count}
    except Skip as e:
        record.update(status="skipped", reason=str(e))
    except Failure as e:
        record.update(status="failed", reason=str(e))
    except Interrupted as e:
        record.update(status="interrupted", reason=f"ended by {e}")
    except MemoryError:
        record.update(status="failed", reason="out of memory")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)   # from here on the record gets written


def _iterate(workload, run: Run, record: dict[str, Any], warmup: int, iters: int) -> None:
    history: dict[str, list[float]] = {}
    kinds: dict[str, tuple[str, str]] = {}
    record["iterations"] = []
    before = None
    for number in range(warmup + iters):
        run.warming_up = number < warmup
        if number == warmup:
            before = resource.getrusage(resource.RUSAGE_SELF)
        run.checks, run.extra, run.operations = [], {}, 0
        workload.iterate(run)
        workload.verify(run)
        wall, cpu = run.end_ns - run.begin_ns, run.cpu_end_ns - run.cpu_begin_ns
        if number == 0:
            record["cold_wall_ns"] = wall
        record["checks"] = run.checks
        wrong = next((c for c in run.checks if not c["ok"]), None)
        if wrong:
            raise Failure(f"wrong answer: {wrong['name']} should be {wrong['expected']} and is "
                          f"{wrong['actual']}")
        if run.warming_up:
            continue
        record["iterations"].append({"wall_ns": wall, "cpu_ns": cpu, "ops": run.operations})
        found = {"wall_ns": (wall, "ns", "lower"), "cpu_ns": (cpu, "ns", "lower"),
                 "ops_per_s": (run.operations * 1e9 / max(wall, 1), "1/s", "higher"),
                 workload.COST: (wall / run.operations, "ns", "lower"), **run.extra}
        for key, (value, unit, better) in found.items():
            history.setdefault(key, []).append(value)
            kinds[key] = (unit, better)
    record["warmup"] = warmup
    record["metrics"] = {key: {"value": statistics.median(many), "unit": kinds[key][0],
                               "better": kinds[key][1]} for key, many in history.items()}
    record["usage"] = _usage(before, resource.getrusage(resource.RUSAGE_SELF))
    record["counters"] = run.counters


def _usage(before, after) -> dict[str, int]:
    user = int((after.ru_utime - before.ru_utime) * 1e9)
    system = int((after.ru_stime - before.ru_stime) * 1e9)
    return {"cpu_ns": user + system, "user_ns": user, "system_ns": system,
            "voluntary_switches": after.ru_nvcsw - before.ru_nvcsw,
            "involuntary_switches": after.ru_nivcsw - before.ru_nivcsw,
            "minor_faults": after.ru_minflt - before.ru_minflt,
            "major_faults": after.ru_majflt - before.ru_majflt,
            "peak_rss_bytes": after.ru_maxrss * 1024}


def _finish(record: dict[str, Any], manifest: dict[str, Any], target: Path | None,
            as_json: bool) -> None:
    if record["status"] != "ok":
        record.pop("metrics", None)
    record["machine_class"] = manifest["machine_class"]
    record["env_id"] = manifest["env_id"]
    record["times"]["finished"] = utc()
    record["times"]["elapsed_ns"] = time.monotonic_ns() - record["times"]["elapsed_ns"]
    record["interference"]["after"] = machine.interference()
    record["run_id"] = run_id(record)
    problems = records.check_record(record)
    if problems:
        raise AssertionError(f"this driver made a wrong record: {problems}")
    if target:
        _write(target, record, manifest)
    if as_json:
        print(records.sealed(record).decode(), end="")
    elif record["status"] == "ok":
        _report(record)


def _write(target: Path, record: dict[str, Any], manifest: dict[str, Any]) -> None:
    try:
        if target.exists():     # a device or a pipe: it gets the record alone, and stays what it is
            with open(os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY), "wb") as out:
                os.set_blocking(out.fileno(), True)     # the open alone must not wait for a reader
                out.write(records.sealed(record))
            return
        file = own_folder(target.parent, "env") / f"{manifest['env_id']}.json"
        if machine.manifest_fault(file):
            write_whole(file, json.dumps(manifest, ensure_ascii=False).encode("utf-8", "replace"))
        write_record(target, record)
    except OSError as e:
        raise Usage(f"{e.filename or target}: {e.strerror}; the record could not be written") \
            from None


def _report(record: dict[str, Any]) -> None:
    said = record["identity"]
    params = " ".join(f"{k}={v}" for k, v in said["params"].items())
    print(f"{said['workload']} on {said['backend']}  {params}")
    for check in record["checks"]:
        print(f"  {check['name']} {check['actual']} as expected")
    for key, m in record["metrics"].items():
        print(f"  {key:<20} {m['value']:.6g} {m['unit']}")
    for key, s in record["series"].items():
        quantiles = "  ".join(f"{q} {units.show_ns(v)}" for q, v in s["quantiles"].items())
        print(f"  {key:<20} {quantiles}  ({s['count']} samples)")
