# SPDX-License-Identifier: MIT
"""Locks: two labs never run the same block, and two on one machine never disturb each other.

A lock is a file with an flock on it, and the owner's name in a file beside it. The kernel releases
an flock with its process, however that ends, so that on one machine no lock is ever stale. Between
machines an flock may not be seen (some network file systems keep it local): there the owner file,
made by a link that fails if there is one, decides, and its owner refreshes it. One of another machine
that has been silent for STALE_S is taken for dead.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

STALE_S = 180.0
REFRESH_S = 30.0


class Busy(Exception):
    """Someone else holds the lock; the message says who."""


def this_machine() -> str:
    """A name for this boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename


def _is_process(pid: object) -> bool:
    return isinstance(pid, int) and os.path.exists(f"/proc/{pid}")


class Lock:
    def __init__(self, folder: Path, name: str):
        self.file = folder / f"{name}.lock"
        self.owner_file = folder / f"{name}.owner"
        self.fd = -1
        self.has_flock = True

    def take(self) -> "Lock":
        """Take the lock or raise Busy; never waits."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Busy(self._who()) from None
        except OSError:
            self.has_flock = False      # a file system without: the owner file alone decides
        try:
            self._claim()
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        return self

    def _claim(self) -> None:
        fresh = self.owner_file.with_suffix(f".{os.uname().nodename}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps({"machine": this_machine(), "host": os.uname().nodename,
                                         "pid": os.getpid()}), encoding="utf-8")
            for _ in range(3):
                try:
                    os.link(fresh, self.owner_file)     # whole, and only if there is none
                    return
                except FileExistsError:
                    if self._owner_lives():
                        break
                    self.owner_file.unlink(missing_ok=True)
            raise Busy(self._who())
        finally:
            fresh.unlink(missing_ok=True)

    def _owner(self) -> dict[str, object]:
        try:
            return json.loads(self.owner_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def _owner_lives(self) -> bool:
        owner = self._owner()
        if owner.get("machine") == this_machine():
            # Whoever holds the flock knows that this owner is gone.
            return not self.has_flock and _is_process(owner.get("pid"))
        os.utime(self.file)     # the file server's clock, not ours, dates both files
        try:
            silent = self.file.stat().st_mtime - self.owner_file.stat().st_mtime
        except FileNotFoundError:
            return False
        return silent < STALE_S

    def _who(self) -> str:
        owner = self._owner()
        if not owner:
            return "another lab"
        here = owner.get("machine") == this_machine()
        return f"process {owner.get('pid')}" + ("" if here else f" on {owner.get('host')}")

    def refresh(self) -> None:
        """Say that the owner still lives; to be called every REFRESH_S or more often."""
        try:
            if time.time() - self.owner_file.stat().st_mtime > REFRESH_S / 2:
                os.utime(self.owner_file)
        except OSError:
            pass

    def release(self) -> None:
        if self.fd >= 0:
            self.owner_file.unlink(missing_ok=True)
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> "Lock":
        return self if self.fd >= 0 else self.take()

    def __exit__(self, *_: object) -> None:
        self.release()


def held(folder: Path) -> dict[str, str]:
    """{lock name: who} of the locks that have an owner now; changes nothing."""
    found = {}
    for file in sorted(folder.glob("*.owner")) if folder.is_dir() else []:
        lock = Lock(folder, file.stem)
        if not _free(lock):
            found[file.stem] = lock._who()
    return found


def _free(lock: Lock) -> bool:
    try:
        fd = os.open(lock.file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return not lock._owner_lives()
    except BlockingIOError:
        return False
    except OSError:
        lock.has_flock = False
        return not lock._owner_lives()
    finally:
        os.close(fd)
