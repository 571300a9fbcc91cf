# SPDX-License-Identifier: MIT
"""What machine this is: its class, and a manifest for records that are not written by `shunt`.

The definitions are those of core/measure/environment.h, so that runs of every driver on one machine
fall into one class. What only the C code reads is absent here with that reason.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from .files import read_json

CPUS = Path("/sys/devices/system/cpu")
NOT_READ = "this driver does not read it; see the manifest of a shunt run on the same machine"


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def cpuinfo(*keys: str) -> str:
    """The first value in /proc/cpuinfo of the first key that is there."""
    lines = [line.partition(":") for line in _read("/proc/cpuinfo").splitlines()]
    for key in keys:
        for name, _, value in lines:
            if name.strip() == key and value.strip():
                return value.strip()
    return ""


def cpu_model() -> str:
    model = cpuinfo("model name", "uarch", "isa")
    if not model and cpuinfo("CPU implementer") and cpuinfo("CPU part"):
        model = f"implementer {cpuinfo('CPU implementer')} part {cpuinfo('CPU part')}"
    return model


def core_count() -> int:
    """Cores are told apart by their lists of sibling threads."""
    return len({_read(p) for p in CPUS.glob("cpu[0-9]*/topology/thread_siblings_list")} - {""})


def logical_count() -> int:
    return os.sysconf("SC_NPROCESSORS_ONLN")


def memory_bytes() -> int:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


@functools.cache
def machine_class() -> str:
    """The name that all machines like this one share."""
    gib = 1
    while gib < memory_bytes() / 2 ** 30:
        gib *= 2
    parts = {"arch": os.uname().machine, "cores": str(core_count() or "unknown"),
             "kernel": os.uname().release, "logical": str(logical_count()),
             "memory_gib": str(gib) if memory_bytes() else "unknown",
             "model": cpu_model() or "unknown"}
    return canonical_hash(parts)[:16]


def canonical_hash(document: Any) -> str:
    """SHA-256 of the compact JSON with sorted keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


_REQUIRED = (
    "build.commit", "build.dirty", "build.compiler", "build.flags", "build.id", "build.libraries",
    "cpu.arch", "cpu.model", "cpu.microcode", "cpu.caches", "cpu.logical", "cpu.cores", "cpu.smt",
    "cpu.governor", "cpu.boost", "cpu.isolated", "cpu.allowed", "cpu.mitigations",
    "kernel.release", "kernel.version", "kernel.cmdline", "kernel.clocksource",
    "kernel.io_uring_disabled", "kernel.max_map_count", "kernel.thp", "kernel.timer_slack_ns",
    "machine.hostname", "machine.hypervisor", "machine.memory_bytes", "machine.cgroup",
    "library.libc", "topology.xml")
_FILES = {
    "cpu.smt": "/sys/devices/system/cpu/smt/control",
    "cpu.isolated": "/sys/devices/system/cpu/isolated",
    "kernel.version": "/proc/version", "kernel.cmdline": "/proc/cmdline",
    "kernel.clocksource": "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "kernel.thp": "/sys/kernel/mm/transparent_hugepage/enabled",
    "cpu.governor": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
}


def manifest(build: dict[str, tuple[str, str]], redact: bool = False) -> dict[str, Any]:
    """A shunt.env/1 document; `build` holds what the driver knows of itself: (value, source)."""
    facts: dict[str, Any] = {name: {"absent": NOT_READ} for name in _REQUIRED}

    def put(name: str, value: Any, source: str) -> None:
        if value not in ("", None, 0):
            facts[name] = {"value": value, "source": source}
    put("cpu.arch", os.uname().machine, "uname")
    put("cpu.model", cpu_model(), "/proc/cpuinfo")
    put("cpu.microcode", cpuinfo("microcode"), "/proc/cpuinfo")
    put("cpu.logical", logical_count(), "sysconf")
    put("cpu.cores", core_count(), str(CPUS / "cpu*/topology/thread_siblings_list"))
    put("cpu.allowed", _list(sorted(os.sched_getaffinity(0))), "sched_getaffinity")
    put("kernel.release", os.uname().release, "uname")
    put("machine.hostname", os.uname().nodename, "uname")
    put("machine.memory_bytes", memory_bytes(), "/proc/meminfo")
    for name, path in _FILES.items():
        put(name, _read(path), path)
    for name, (value, source) in build.items():
        put(name, value, source)
    if redact:
        from .redact import redacted
        for fact in facts.values():     # a source is a path of the kernel's, the same everywhere
            if "value" in fact:
                fact["value"] = redacted(fact["value"])
    core = {"facts": facts, "redacted": redact, "schema": "shunt.env/1"}
    return {**core, "env_id": canonical_hash(core), "machine_class": machine_class(),
            "volatile": {"machine.time": {"value": time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                                                 time.gmtime()),
                                          "source": "time"}}}


def manifest_fault(file: Path) -> str:
    """What is wrong with a manifest, whose name is the hash of its content; an empty text: nothing."""
    try:
        found = read_json(file)
        core = {k: found[k] for k in ("facts", "redacted", "schema")}
    except FileNotFoundError:
        return "is missing"
    except OSError as e:
        return f"cannot be read ({e.strerror})"
    except (ValueError, KeyError, TypeError) as e:
        return f"is damaged ({e})"
    return "" if canonical_hash(core) == file.stem else "was changed"


def _list(cpus: list[int]) -> str:
    from .process import show_cpus
    return show_cpus(cpus)


def interference() -> dict[str, Any]:
    """The machine around a run, as the record's schema has it."""
    found: dict[str, Any] = {}
    load = _read("/proc/loadavg").split()
    if load:
        found["load1"] = float(load[0])
    for line in _read("/proc/stat").splitlines():
        words = line.split()
        if words[0] == "cpu" and len(words) > 8:
            found["steal_ticks"] = int(words[8])
        elif words[0] == "procs_running":
            found["procs_running"] = int(words[1])
        elif words[0] == "ctxt":
            found["context_switches"] = int(words[1])
    return found
