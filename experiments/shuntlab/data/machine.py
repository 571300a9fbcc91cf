# SPDX-License-Identifier: MIT
"""What machine this is: its class, for records that the lab writes; and whether a manifest is whole.

The definitions are those of core/measure/environment.h, so that such a record and those of `shunt` fall
into one class.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ..tools.files import read_json

CPUS = Path("/sys/devices/system/cpu")


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


@functools.lru_cache(maxsize=4096)
def hostname_of(manifest: Path) -> str:
    """The host that a manifest describes; an empty text where it is redacted, or not to be had."""
    try:
        found = read_json(manifest)
        return "" if found["redacted"] else str(found["facts"]["machine.hostname"].get("value", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


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
