# SPDX-License-Identifier: MIT
"""Journals: what each `lab run` did, one JSON Lines file a session.

The records are the truth; a journal adds what a record cannot know: which CPUs the lab confined the
run to, which process ran it, and the file's size, time and SHA-256 when it was accepted. With these
a resumed campaign trusts a record without opening it, and a reader finds a changed bit. A last line
that was cut off is no loss: its record is then read and checked again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from pathlib import Path
from typing import Any, Iterator

from ..data import packed
from ..tools.files import append_to, own_folder, parse_json, read_bytes
from ..tools.locks import this_machine

BYTES_MAX = 512 << 20       # a million runs of one session have 250 MB


def utc(seconds: float | None = None) -> str:
    """An instant as records write it: 2026-11-22T16:00:00.123Z."""
    now = time.time() if seconds is None else seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"


class Session:
    """The journal that this process writes."""

    def __init__(self, folder: Path, head: dict[str, Any], redact: bool = False):
        place = own_folder(folder, "sessions")
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        host = "redacted" if redact else os.uname().nodename
        self.file = place / f"{stamp}-{host}-{os.getpid()}.jsonl"
        self.out = open(append_to(self.file), "a", encoding="utf-8")
        self.write({"event": "start", "at": utc(), "host": host, "redacted": redact,
                    "boot": this_machine(), "pid": os.getpid(), **head})

    def write(self, line: dict[str, Any]) -> None:
        self.out.write(json.dumps(line, separators=(",", ":")) + "\n")
        self.out.flush()

    def accepted(self, file: Path, status: str, elapsed_s: float,
                 probe: list[float] | None = None) -> None:
        data = read_bytes(file)
        stat = file.stat()
        self.write({"event": "run", "file": file.name, "status": status, "size": stat.st_size,
                    "mtime_ns": stat.st_mtime_ns, "sha256": hashlib.sha256(data).hexdigest(),
                    "elapsed_s": round(elapsed_s, 3), **({"probe": probe} if probe else {})})

    def close(self, how: str) -> None:
        self.write({"event": "end", "at": utc(), "how": how})
        self.out.close()


# What readers of a line rely on, by its event; a line of other types is passed over like a cut-off one, and
# so is one about a run that lacks something.
_EVENTS: dict[str, dict[str, tuple[type, ...]]] = {
    "start": {"boot": (str,), "host": (str,), "cpus": (str,), "drivers": (dict,)},
    "run": {"file": (str,), "size": (int,), "mtime_ns": (int,), "sha256": (str,),
            "elapsed_s": (int, float)},
    "end": {},
}


def files(folder: Path) -> list[Path]:
    """The journals, packed or not, in the order of their starts."""
    place = folder / "sessions"
    return sorted(f for f in place.glob("*.jsonl*") if f.suffix in (".jsonl", ".xz")) if place.is_dir() else []


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Every readable line of every session, in the order of the sessions' starts. "node" is added: the
    session's host, or its boot where the host is redacted."""
    for file in files(folder):
        node = ""
        for text in packed.lines(file) if file.suffix == ".xz" else io.BytesIO(read_bytes(file, BYTES_MAX)):
            try:
                line = parse_json(text)
            except ValueError:
                continue
            if not _is_sound(line):
                continue
            if line["event"] == "start":
                node = line.get("boot" if line.get("redacted") else "host", "")
            line["node"] = node
            yield line


def _is_sound(line: Any) -> bool:
    wanted = _EVENTS.get(str(line.get("event"))) if isinstance(line, dict) else None
    if wanted is None or (line["event"] == "run" and not wanted.keys() <= line.keys()):
        return False
    return all(isinstance(line.get(k, t[0]()), t) for k, t in wanted.items()) \
        and 0 <= line.get("elapsed_s", 0) < 1e9


def accepted(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """{record file name: the journal lines about it}; a retried run has several."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines(folder):
        if line["event"] == "run":
            found.setdefault(line["file"], []).append(line)
    return found


def probes(folder: Path) -> dict[str, tuple[str, list[float]]]:
    """{record file name: the machine's boot, the times of the interference probe} of runs that have them."""
    found, boot = {}, ""
    for line in lines(folder):
        boot = line.get("boot", "") if line["event"] == "start" else boot
        times = line.get("probe")
        if isinstance(times, list) and len(times) == 2 and all(type(t) is float and 0 < t < 1e30 for t in times):
            found[str(line.get("file"))] = boot, times
    return found


def is_as_accepted(file: Path, known: list[dict[str, Any]]) -> bool:
    """Whether size and time are those of the moment the record was accepted."""
    stat = file.stat()
    return any((stat.st_size, stat.st_mtime_ns) == (line["size"], line["mtime_ns"])
               for line in known)


def why_not(data: bytes, sealed: bool, known: list[dict[str, Any]]) -> str:
    """Why the bytes of a record are not to be believed, or an empty text."""
    if not known:
        return "" if sealed else "it has no checksum, and no journal of this campaign knows it"
    digest = hashlib.sha256(data).hexdigest()
    same = any(digest == line["sha256"] for line in known)
    return "" if same else "changed since it was accepted (its checksum differs)"


def starts(folder: Path) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if line["event"] == "start"]
