#!/usr/bin/env -S python3 -S -E
# SPDX-License-Identifier: MIT
"""A driver for the lab's tests: it measures nothing and writes records that satisfy the schema.

The numbers come from the seed, the backend's name and the repetition. What else a run does is in
its backend's name: fail, crash, hang, deaf (hangs and ignores signals), cut (writes half a record),
liar (writes another block's record), skip, small (skipped, each time for another
number), lags (an invalid run), beside (other work slows its probe), mute (exits 0 and writes
nothing), slow (0.3 s, or, if three runs have been before it, until the file $FAKE_GATE is there).
$FAKE_BUILD is its build_id, $FAKE_COST what its runs cost by another's, $FAKE_ANSWER the answer of its check,
$FAKE_PLUGIN the build-id of every plug-in, $FAKE_SCHEMA the schema of its records, $FAKE_LOG a file that gets one line
a run, and $FAKE_LOG.ready one when it is as deaf as it should be, or ready to be interrupted.
"""

import os
import sys
import time
from _random import Random
try:
    from _sha256 import sha256
except ImportError:
    from hashlib import sha256

# Hundreds of runs are made of this: what takes long to import (json, hashlib, random, pathlib) is not.

BUILD = os.environ.get("FAKE_BUILD", "fa4e" * 5)
MACHINE = os.environ.get("FAKE_MACHINE", "00c0ffee00c0ffee")
RATIO = {"asm": 1.0, "ucontext": 20.0, "null": 0.1}


def hexed(text, digits):
    return sha256(text.encode()).hexdigest()[:digits]


def quoted(text):
    plain = "".join(c if c not in '"\\' and " " <= c < "\x7f" else f"\\u{ord(c):04x}" for c in text)
    return f'"{plain}"'


def compact(value):
    """JSON without a space, keys sorted."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{quoted(k)}:{compact(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else repr(value)


def options(words):
    found, plain = {}, []
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("--strict", "--redact"):
            continue
        if word.startswith("--"):
            found[word[2:]] = words.pop(0)
        else:
            plain.append(word)
    return plain, found


def utc():
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"


def manifest():
    names = ["build.commit", "build.dirty", "build.compiler", "build.flags", "build.id",
             "build.libraries", "cpu.arch", "cpu.model", "cpu.microcode", "cpu.caches",
             "cpu.logical", "cpu.cores", "cpu.smt", "cpu.governor", "cpu.boost", "cpu.isolated",
             "cpu.allowed", "cpu.mitigations", "kernel.release", "kernel.version",
             "kernel.cmdline", "kernel.clocksource", "kernel.io_uring_disabled",
             "kernel.max_map_count", "kernel.thp", "kernel.timer_slack_ns", "machine.hostname",
             "machine.hypervisor", "machine.memory_bytes", "machine.cgroup", "library.libc",
             "topology.xml"]
    core = {"schema": "shunt.env/1", "redacted": False,
            "facts": {n: {"absent": "a test"} for n in names}}
    core["facts"]["build.id"] = {"value": BUILD, "source": "a test"}
    text = compact(core)
    return {**core, "env_id": hexed(text, 64), "machine_class": MACHINE, "volatile": {}}


def sealed(record):
    text = compact(record)[:-1]
    return f'{text},"sha256":"{hexed(text, 64)}"}}\n'


def write(path, text):
    fresh = f"{path}.tmp{os.getpid()}"
    with open(fresh, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.rename(fresh, path)


def record_of(words, plain, o, env):
    spec, workload = plain[1:3]
    backend, _, rest = spec.partition(":")
    chance = Random(int(hexed(f"{o['seed']} {backend} {o.get('arm')}", 12), 16))
    base = 10.0 * float(os.environ.get("FAKE_COST", 1))
    cost = base * RATIO.get(backend, 1.5) * (1 + 0.01 * (sum(chance.random() for _ in range(12)) - 6))
    settings = dict(p.partition("=")[::2] for p in rest.split(",") if p)
    identity = {"driver": os.environ.get("FAKE_DRIVER", "shunt"), "backend": backend,
                "composition": settings, "workload": workload,
                "params": dict(p.split("=", 1) for p in plain[3:]), "seed": o["seed"],
                "build_id": BUILD}
    digits, answer = int(o.get("digits", 3)), os.environ.get("FAKE_ANSWER", "1")
    made = {
        "schema": os.environ.get("FAKE_SCHEMA", "shunt.run/1"), "identity": identity, "arm": o.get("arm", backend),
        "repetition": int(o.get("repetition", 0)), "block": o.get("block", ""),
        "machine_class": MACHINE, "status": "ok", "reason": "", "warmup": 1,
        "metrics": {"wall_ns": {"value": int(cost * 1e5), "unit": "ns", "better": "lower"},
                    "ns_per_switch": {"value": cost, "unit": "ns", "better": "lower"},
                    "ops_per_s": {"value": 1e9 / cost, "unit": "1/s", "better": "higher"}},
        "iterations": [{"wall_ns": int(cost * 1e5), "cpu_ns": int(cost * 1e5), "ops": 100000}],
        "series": {"lateness": {"unit": "ns", "count": 3, "min": 5, "max": 2049, "sum": 2059,
                                "digits": digits,
                                "buckets": [[5, 2], [2048 if digits == 3 else 640, 1]],
                                "quantiles": {"p50": 5}}},
        "counters": {"switches": 100000, "cpus": len(os.sched_getaffinity(0)),
                     **{f"worker{i}.switches": i for i in range(int(os.environ.get("FAKE_WORKERS", 0)))}},
        "checks": [{"name": "switches", "expected": answer, "actual": answer, "ok": True}],
        "argv": words, "times": {"started": utc(), "finished": utc(), "elapsed_ns": 1},
        "interference": {"before": {"load1": 0.1, "throughput_ns": 1.3, "latency_ns": 1.1},
                         "after": {"throughput_ns": 3.9 if backend == "beside" else 1.2, "latency_ns": 1.1}},
        "env_id": env["env_id"]}
    keys = ("arm", "block", "identity", "machine_class", "repetition")
    made["run_id"] = hexed(compact({k: made[k] for k in keys}), 16)
    return made


def not_ok(record, status, reason):
    record.update(status=status, reason=reason)
    for key in ("metrics", "series", "checks"):
        record.pop(key, None)
    return record


def main(words):
    if words[:1] == ["version"]:
        print(compact({"version": "fake 1", "build_id": BUILD}))
        return 0
    if words[:1] == ["list"]:
        plugins = [{"name": "p", "file": w[9:], "build_id": os.environ.get("FAKE_PLUGIN", "")}
                   for w in words if w.startswith("--plugin=")]
        print(os.environ.get("FAKE_LIST", compact({"plug-ins": plugins} if plugins else {})))
        return 0
    if words[:1] != ["run"]:
        return 2
    plain, o = options(words)
    backend = plain[1].partition(":")[0]
    before = 0
    if "FAKE_LOG" in os.environ:
        with open(os.environ["FAKE_LOG"], "a+") as log:
            log.seek(0)
            before = len(log.readlines())
            log.write(f"{o.get('block')} {o.get('arm')} {os.getpid()}\n")
    path = o["record"]
    if os.path.exists(path):
        print(f"fake: {path} exists", file=sys.stderr)
        return 2
    env = manifest()
    record = record_of(words, plain, o, env)
    code = act(backend, record, env, path, before)
    if code is not None:
        return code
    keep(record, env, path)
    return 0 if record["status"] == "ok" else 3


def keep(record, env, path):
    """The manifest first: a record never names one that is not there."""
    place = os.path.join(os.path.dirname(path), "env")
    os.makedirs(place, exist_ok=True)
    write(os.path.join(place, f"{env['env_id']}.json"), compact(env))
    write(path, sealed(record))


def act(backend, record, env, path, before):
    """What the backend's name asks for; an exit status ends the run without a record."""
    if backend == "crash":
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 11)
    if backend in ("hang", "deaf"):
        import signal

        def interrupted(number, frame):
            keep(not_ok(record, "interrupted", "a signal"), env, path)
            sys.exit(130)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupted if backend == "hang" else signal.SIG_IGN)
        if "FAKE_LOG" in os.environ:
            with open(os.environ["FAKE_LOG"] + ".ready", "a") as log:
                log.write(f"{os.getpid()}\n")
        time.sleep(600)
    if backend == "fail":
        not_ok(record, "failed", "check sum: expected 1, got 2")
    if backend == "lags":
        not_ok(record, "skipped", "invalid: the generator lagged")
    if backend == "skip":
        not_ok(record, "skipped", "this machine cannot")
    if backend == "small":
        not_ok(record, "skipped", f"needs at least 8 GiB, {before + 1}.5 are free")
    if backend == "liar":
        record["block"] = "b9999"
    if backend == "cut":
        with open(path, "w") as f:
            f.write(compact(record)[:200])
        return 0
    if backend == "mute":
        return 0
    if backend == "slow":
        gate = os.environ.get("FAKE_GATE")
        if not gate:
            time.sleep(float(os.environ.get("FAKE_SLOW", "0.3")))
        while gate and before >= 3 and not os.path.exists(gate):
            time.sleep(0.01)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
