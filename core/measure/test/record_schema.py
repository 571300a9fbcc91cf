#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, what the C code writes satisfies the schemas, and another language agrees with it.

record_schema.py TEST_RECORD runs that test so that it leaves its records, then holds each record and
manifest against its schema, recomputes every id and quantile from the documented rules alone, and
makes sure that the schema turns away what it must. Exit status 77 without python3-jsonschema.
"""
from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

try:
    from jsonschema import Draft202012Validator
except ImportError:
    print("skipped: no jsonschema with draft 2020-12 (Debian package python3-jsonschema)")
    sys.exit(77)

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE.parents[1] / "experiments"))
from shuntlab.data import records as lab_records  # noqa: E402
STATUSES = {"ok", "failed", "timeout", "skipped", "interrupted"}
problems: list[str] = []


def expect(holds: bool, what: str) -> None:
    if not holds:
        problems.append(what)


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((HERE / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def bucket_bounds(index: int, digits: int) -> tuple[int, int]:
    """The rule of core/measure/hist.h."""
    half = {2: 128, 3: 1024}[digits]
    if index < 2 * half:
        return index, index
    shift = index // half - 1
    low = (half + index % half) << shift
    return low, low + (1 << shift) - 1


def check_series(name: str, series: dict[str, Any]) -> None:
    buckets = [(index, int(count)) for index, count in series["buckets"]]
    count = int(series["count"])
    expect(sum(n for _, n in buckets) == count, f"{name}: buckets do not add up")
    for quantile, value in series["quantiles"].items():
        whole, _, fraction = quantile[1:].partition(".")
        ppm = int((whole + fraction.ljust(4, "0")))
        rank, seen = max(1, -(-count * ppm // 1000000)), 0
        for index, n in buckets:
            seen += n
            if seen >= rank:
                low, high = bucket_bounds(index, series["digits"])
                high = min(high, int(series["max"]))
                # Quantiles are those of 3 digits: with 2 they lie within the bucket.
                expect(int(value) == high or series["digits"] == 2 and low <= int(value) <= high,
                       f"{name}: {quantile} is not {value}")
                break


def check_coarse(series: dict[str, Any]) -> None:
    """The readers of the experiments make of 3 digits what the C code wrote with 2."""
    fine, coarse = series["lateness"], series["lateness.coarse"]
    expect(lab_records.coarsen(fine, 2) == coarse, "two digits are not the three digits merged")
    for one in (fine, coarse):
        for index, _ in one["buckets"]:
            expect(lab_records.hist_bounds(index, one["digits"]) == bucket_bounds(index, one["digits"]),
                   f"bucket {index} of {one['digits']} digits has other bounds for the experiments")


def check_record(path: Path, schema: Draft202012Validator) -> dict[str, Any]:
    record = json.loads(path.read_text(), parse_constant=lambda word: problems.append(f"{path}: {word}"))
    for error in schema.iter_errors(record):
        problems.append(f"{path.name}: {'.'.join(map(str, error.path))}: {error.message[:200]}")
    hashed = {key: record[key] for key in ("arm", "block", "identity", "machine_class", "repetition")}
    expect(digest(hashed)[:16] == record["run_id"], f"{path.name}: run_id is not the documented hash")
    expect((path.parent / "env" / f"{record['env_id']}.json").is_file(), f"{path.name}: no manifest")
    text = path.read_bytes()
    expect(text.count(b"\n") == 1, f"{path.name}: not one line")
    before, _, seal = text.rpartition(b",")
    expect(seal == b'"sha256":"%s"}\n' % hashlib.sha256(before).hexdigest().encode(),
           f"{path.name}: does not end with its checksum")
    for name, series in record.get("series", {}).items():
        check_series(f"{path.name}: {name}", series)
    return record


def check_manifest(path: Path, schema: Draft202012Validator) -> None:
    manifest = json.loads(path.read_text())
    for error in schema.iter_errors(manifest):
        problems.append(f"{path.name}: {'.'.join(map(str, error.path))}: {error.message[:200]}")
    hashed = {key: manifest[key] for key in ("facts", "redacted", "schema")}
    expect(digest(hashed) == manifest["env_id"] == path.stem, f"{path.name}: env_id is not the hash")

    def fact(name: str) -> str:
        return str(manifest["facts"][name].get("value", "unknown"))

    gib = 1
    while gib < int(fact("machine.memory_bytes")) / 2**30:
        gib *= 2
    parts = {"arch": fact("cpu.arch"), "cores": fact("cpu.cores"), "kernel": fact("kernel.release"),
             "logical": fact("cpu.logical"), "memory_gib": str(gib), "model": fact("cpu.model")}
    expect(digest(parts)[:16] == manifest["machine_class"], f"{path.name}: machine_class is not the hash")


def check_refusals(good: dict[str, Any], skipped: dict[str, Any], schema: Draft202012Validator) -> None:
    """Each change makes a record that must not pass."""
    changes: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
        "unknown field": (good, lambda r: r.update(colour="red")),
        "no run_id": (good, lambda r: r.pop("run_id")),
        "ok without metrics": (good, lambda r: r.pop("metrics")),
        "ok without wall_ns": (good, lambda r: r["metrics"].pop("wall_ns")),
        "ok without a check": (good, lambda r: r.update(checks=[])),
        "ok with a failed check": (good, lambda r: r["checks"][0].update(ok=False)),
        "ok with a reason": (good, lambda r: r.update(reason="why not")),
        "ok without iterations": (good, lambda r: r.update(iterations=[])),
        "ok without a manifest": (good, lambda r: r.pop("env_id")),
        "ok without a build": (good, lambda r: r["identity"].pop("build_id")),
        "metric without a unit": (good, lambda r: r["metrics"]["wall_ns"].pop("unit")),
        "metric of no number": (good, lambda r: r["metrics"]["wall_ns"].update(value=None)),
        "other direction": (good, lambda r: r["metrics"]["wall_ns"].update(better="best")),
        "negative counter": (good, lambda r: r["counters"].update(switches=-1)),
        "param that is no string": (good, lambda r: r["identity"]["params"].update(tasks=2)),
        "seed with a zero before": (good, lambda r: r["identity"].update(seed="007")),
        "bucket without a count": (good, lambda r: r["series"]["lateness"]["buckets"].append([1])),
        "bucket beyond the last": (good, lambda r: r["series"]["lateness"]["buckets"].append([54272, 1])),
        "other digits": (good, lambda r: r["series"]["lateness"].update(digits=4)),
        "samples without extremes": (good, lambda r: r["series"]["lateness"].pop("max")),
        "a local time": (good, lambda r: r["times"].update(started="2026-11-22 16:00:00")),
        "unknown status": (skipped, lambda r: r.update(status="gone")),
        "skipped without a reason": (skipped, lambda r: r.update(reason="")),
        "skipped with metrics": (skipped, lambda r: r.update(metrics=good["metrics"])),
        "empty command line": (skipped, lambda r: r.update(argv=[])),
    }
    for name, (base, change) in changes.items():
        record = copy.deepcopy(base)
        change(record)
        expect(any(True for _ in schema.iter_errors(record)), f"the schema lets pass: {name}")


def main() -> int:
    run_schema, env_schema = validator("record.schema.json"), validator("env.schema.json")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.argv[1]], env=dict(os.environ, SHUNT_KEEP=folder),
                              capture_output=True, text=True)
        expect(done.returncode == 0, f"the test that writes the records failed:\n{done.stderr}")
        records = {path.stem: check_record(path, run_schema) for path in Path(folder).glob("*.json")}
        manifests = list(Path(folder, "env").glob("*.json"))
        for path in manifests:
            check_manifest(path, env_schema)
        expect({r["status"] for r in records.values()} == STATUSES, "not every status was written")
        expect(len(manifests) == 2, f"{len(manifests)} manifests, not a plain and a redacted one")
        check_coarse(records["ok"]["series"])
        check_refusals(records["ok"], records["skipped"], run_schema)
    for problem in problems:
        print(problem)
    print(f"{len(records)} records, {len(manifests)} manifests, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
