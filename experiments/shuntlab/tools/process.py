# SPDX-License-Identifier: MIT
"""One child process: started on given CPUs, watched without waking, ended for certain.

The child dies with the lab (PR_SET_PDEATHSIG), so that a killed lab leaves nothing running that
would disturb the next one, and it has its own session, so that Ctrl-C reaches it through the lab and
in order. Waiting is one poll on its pidfd: a lab that polled by the clock would be a disturbance of
its own on the machine it measures.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
import select
import signal
import subprocess
import time
from typing import Callable

PR_SET_PDEATHSIG = 1
GRACE_S = 5.0           # from asking a run to end to killing it
CPUS_MAX = 1 << 16      # more than any kernel is built for
TICK_S = 30.0           # how often a long wait does its housekeeping
STDERR_TAIL = 4096
OWN_SIGNAL_S = 0.5      # that the lab's own signal may come after that of the run


@dataclasses.dataclass
class Outcome:
    code: int               # exit status; negative: the signal that killed it
    timed_out: bool
    stopped: bool           # ended because the lab was told to stop
    stderr: str             # its last few kilobytes
    elapsed_s: float
    not_started: bool = False   # there is no such program, or it may not be executed

    def why(self) -> str:
        """Why it left no usable record, for a record's reason."""
        said = [line for line in self.stderr.strip().splitlines() if line.strip()]
        last = said[-1].strip() if said else "it said nothing"
        if self.code < 0:
            try:
                name = signal.Signals(-self.code).name
            except ValueError:
                name = f"signal {-self.code}"
            return f"killed by {name}; its last words: {last}"
        return f"exit status {self.code} and no record: {last}"


class Stop:
    """Ctrl-C and SIGTERM, noted and looked at where it suits; the second one is impatient."""

    def __init__(self) -> None:
        self.signal = 0
        self.count = 0
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.previous: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            # What was ignored at the start stays ignored: jobs in the background of a script.
            if signal.getsignal(number) != signal.SIG_IGN:
                self.previous[number] = signal.signal(number, self._note)
        self.wakeup = signal.set_wakeup_fd(self.write_fd, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self.wakeup)
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self.read_fd)
        os.close(self.write_fd)

    def _note(self, number: int, _frame: object) -> None:
        self.signal = number
        self.count += 1

    def drain(self) -> None:
        try:
            os.read(self.read_fd, 64)
        except BlockingIOError:
            pass

    def wait(self, seconds: float) -> bool:
        """Sleep for so long, or until a signal comes; whether one has come."""
        if not self:
            select.select([self.read_fd], [], [], seconds)
        return bool(self)

    def __bool__(self) -> bool:
        return self.count > 0


def run(command: list[str], cpus: list[int], timeout_s: float, stop: Stop,
        tick: Callable[[], None], environment: dict[str, str] | None = None) -> Outcome:
    """Run a command to its end, or end it: by timeout, or because `stop` was raised."""
    stderr = os.memfd_create("stderr")      # memory, not disk: a full disk must not hide a message
    started = time.monotonic()
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=stderr, env=environment, start_new_session=True,
                                 preexec_fn=_prepare(cpus))
    except OSError as e:
        os.close(stderr)
        return Outcome(127, False, False, f"{command[0]}: {e.strerror}", 0.0,
                       e.errno in (errno.ENOENT, errno.EACCES, errno.ETXTBSY, errno.ENOEXEC))
    try:
        timed_out, stopped = _watch(child, started + timeout_s, stop, tick)
        return Outcome(child.returncode, timed_out, stopped, _tail(stderr),
                       time.monotonic() - started)
    finally:
        os.close(stderr)


def relay(command: list[str], environment: dict[str, str], stop: Stop) -> int:
    """The exit status of a command that talks for itself and is handed every signal that `stop` notes."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True,
                             preexec_fn=_prepare(allowed_cpus()))
    handed = 0
    with _PidWait(child) as wait:
        while not wait.ended(time.monotonic() + TICK_S, stop):
            if stop.count > handed:
                handed = stop.count
                child.send_signal(stop.signal)
    return child.wait()


def _prepare(cpus: list[int]) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:      # the lab ended between fork and prctl
            os._exit(1)
        for number in (signal.SIGINT, signal.SIGTERM):  # it is this process that asks it to end
            signal.signal(number, signal.SIG_DFL)
        os.sched_setaffinity(0, cpus)
    return prepare


def _watch(child: subprocess.Popen, deadline: float, stop: Stop,
           tick: Callable[[], None]) -> tuple[bool, bool]:
    """(timed out, stopped); the child has ended when this returns."""
    end = _Ending(child)
    with _PidWait(child) as wait:
        while not wait.ended(end.kill_at if end.asked else deadline, stop):
            now = time.monotonic()
            tick()
            if stop:
                end.ask(signal.SIGINT, now, impatient=stop.count > 1)
            elif now >= deadline and not end.asked:
                end.timed_out = True
                end.ask(signal.SIGTERM, now)
            if now >= end.kill_at:
                end.kill()
    child.wait()
    # A cluster's job ends by a signal to the lab and to the run; the lab may see the run's end first.
    if -child.returncode in (signal.SIGINT, signal.SIGTERM) and not end.asked:
        stop.wait(OWN_SIGNAL_S)
    return end.timed_out, bool(stop) and (end.asked or child.returncode != 0)


class _Ending:
    """Asks a child to end, and kills it when it takes too long."""

    def __init__(self, child: subprocess.Popen):
        self.child, self.asked, self.timed_out, self.kill_at = child, False, False, float("inf")

    def ask(self, number: int, now: float, impatient: bool = False) -> None:
        if not self.asked:
            self.asked = True
            self.kill_at = now + GRACE_S
            self._send(number)
        if impatient:
            self.kill()

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        self.kill_at = time.monotonic() + GRACE_S

    def _send(self, number: int) -> None:
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass


class _PidWait:
    """Sleeps until the child ends, something is to be noticed, or a time has come."""

    def __init__(self, child: subprocess.Popen):
        self.child = child
        self.poll = select.poll()
        self.fd = -1

    def __enter__(self) -> "_PidWait":
        try:
            self.fd = os.pidfd_open(self.child.pid)
            self.poll.register(self.fd, select.POLLIN)
        except OSError:
            self.fd = -1    # before Linux 5.3: look every 50 ms
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def ended(self, until: float, stop: Stop) -> bool:
        """Wait at most until `until` or one tick; whether the child has ended."""
        self.poll.register(stop.read_fd, select.POLLIN)
        left = min(until - time.monotonic(), TICK_S if self.fd >= 0 else 0.05)
        ready = self.poll.poll(max(0, left) * 1000 + 1)
        if any(fd == stop.read_fd for fd, _ in ready):
            stop.drain()
        return self.child.poll() is not None


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    start = max(0, size - STDERR_TAIL)
    return os.pread(fd, STDERR_TAIL, start).decode("utf-8", "replace")


def allowed_cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def parse_cpus(text: str) -> list[int]:
    """0,2-3 -> [0, 2, 3]. ValueError where it is no list, or where none of Linux reaches so far."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or not 0 <= numbers[-1] < CPUS_MAX:
            raise ValueError(text)
        found |= set(numbers)
    return sorted(found)


def show_cpus(cpus: list[int]) -> str:
    """[0, 1, 2, 5] -> 0-2,5."""
    parts: list[list[int]] = []
    for cpu in cpus:
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
