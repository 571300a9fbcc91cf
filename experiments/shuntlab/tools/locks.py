# SPDX-License-Identifier: MIT
"""Locks: two labs never run the same block, and two on one machine never disturb each other.

A lock is a file with an flock on it, and the owner's name in a file beside it. The kernel releases
an flock with its process, however that ends, so that on one machine no lock is ever stale. Between
machines an flock may not be seen (some network file systems keep it local): there the owner file
decides. It is made only where none exists, and its owner refreshes it. One of another machine that
has been silent for STALE_S is taken for dead, and so is one dated ahead: the file server's clock dates
both files, and no owner refreshes before now.

The machine's own lock is a name in the kernel, the same for all users and campaigns: it needs no folder
that strangers may write to, and it ends with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import time
from pathlib import Path

from .files import append_to, read_json

STALE_S = 180.0
REFRESH_S = 30.0
AHEAD_S = 30.0          # that the dates of one file server may differ by


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
        self.refreshed = 0.0

    def take(self) -> "Lock":
        """Take the lock or raise Busy; never waits."""
        fd = append_to(self.file)
        try:
            self._flock(fd)
            self._claim(fd)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        return self

    def _flock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(self._who()) from None
        except OSError:
            self.has_flock = False      # a file system without: the owner file alone decides

    def _claim(self, fd: int) -> None:
        mine = json.dumps({"machine": this_machine(), "host": os.uname().nodename, "pid": os.getpid()})
        for _ in range(3):
            try:
                out = open(self.owner_file, "x", encoding="utf-8")
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError):    # just released, or hidden: ask again
                    if self._owner_lives(fd):
                        break
                    self.owner_file.unlink()
                continue
            try:
                with out:
                    out.write(mine)
            except OSError:
                self.owner_file.unlink(missing_ok=True)
                raise
            self.refreshed = time.monotonic()
            return
        raise Busy(self._who())

    def _owner(self) -> dict[str, object]:
        try:
            found = read_json(self.owner_file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _owner_lives(self, fd: int) -> bool:
        owner = self._owner()
        if owner.get("machine") == this_machine():
            # Whoever holds the flock knows that this owner is gone.
            return not self.has_flock and _is_process(owner.get("pid"))
        os.utime(fd)        # the file server's clock, not ours, dates both files
        silent = os.fstat(fd).st_mtime - os.lstat(self.owner_file).st_mtime
        return -AHEAD_S < silent < STALE_S

    def heard(self) -> int:
        """When the owner was last heard of, by the file server's clock; 0: no owner file."""
        try:
            return os.lstat(self.owner_file).st_mtime_ns
        except FileNotFoundError:
            return 0

    def _who(self) -> str:
        owner = self._owner()
        if not owner:
            return "another lab"
        here = owner.get("machine") == this_machine()
        return f"process {owner.get('pid')}" + ("" if here else f" on {owner.get('host')}")

    def refresh(self) -> None:
        """Say that the owner still lives; to be called every REFRESH_S or more often."""
        if time.monotonic() - self.refreshed < REFRESH_S / 2:
            return
        try:
            os.utime(self.owner_file, follow_symlinks=False)
            self.refreshed = time.monotonic()
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
    for file in sorted(folder.glob("*.owner")) if not folder.is_symlink() else []:
        lock = Lock(folder, file.stem)
        if not _free(lock):
            found[file.stem] = lock._who()
    return found


def _free(lock: Lock) -> bool:
    try:
        fd = append_to(lock.file, create=0)
    except OSError:
        return True
    try:
        lock._flock(fd)
        return not lock._owner_lives(fd)
    except Busy:
        return False
    except FileNotFoundError:
        return True
    finally:
        os.close(fd)


class MachineLock:
    """One lab at a time on this machine, whoever's it is and whichever campaign it runs."""

    NAME = "\0shunt-lab"

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def take(self) -> "MachineLock":
        """Take the lock or raise Busy; never waits."""
        try:
            self.socket.bind(self.NAME)
            self.socket.listen(1)       # the kernel tells whoever connects our process
            return self
        except OSError as e:
            who = self._holder()
            self.socket.close()
            raise Busy(who or f"it cannot be locked ({e.strerror})") from None

    def _holder(self) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as other:
                other.connect(self.NAME)
                size = struct.calcsize("3i")
                pid = struct.unpack("3i", other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
        except OSError:
            return ""
        return f"process {pid}"

    def __enter__(self) -> "MachineLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
