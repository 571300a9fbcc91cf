# SPDX-License-Identifier: MIT
"""The workloads of shunt on asyncio, with the same inputs, the same checks and the same records.

Each is written as one would write it in asyncio: a coroutine a task, sleep(0) to give way, a
Semaphore to pass a token. What the default event loop of CPython does is what is measured; there
is no tuning, and one worker, because that is what asyncio has.
"""

from __future__ import annotations

import array
import asyncio
import hashlib
import platform
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent))
import lines  # noqa: E402
from asyncio_openloop import OpenLoop  # noqa: E402
from echo_floor import Echo  # noqa: E402
from lines import ANY, MASK, Failure, Skip, share, splitmix64  # noqa: E402

now = time.monotonic_ns


def numbers_from_seed(count: int, seed: int) -> array.array:
    """int32 numbers, the high halves of splitmix64, as workloads/numbers.c makes them."""
    try:
        import numpy
    except ImportError:
        made = array.array("q", bytes(8 * count))
        for i in range(count):
            seed, z = splitmix64(seed)
            made[i] = (z >> 32) - (1 << 32 if z >> 63 else 0)
        return made
    with numpy.errstate(over="ignore"):
        z = numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(lines.GOLDEN)
        z += numpy.uint64(seed)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z ^= z >> numpy.uint64(31)
    high = (z >> numpy.uint64(32)).astype(numpy.uint32).view(numpy.int32)
    return array.array("q", high.astype(numpy.int64).tobytes())


class ChunkedSum:
    """sum() is the one way to add up here, whatever `kernel` asks of C."""
    KNOWS = {"items": ANY, "tasks": ANY, "chunk": ANY, "pause": ANY, "tail": ANY, "data": ANY,
             "kernel": ANY, "preset": ANY, "sample": ANY, "walk": 0}

    def setup(self, run):
        n, tasks, chunk = run["items"], run["tasks"], run["chunk"]
        self.numbers = array.array("q", range(n)) if run["data"] == "index" else \
            numbers_from_seed(n, run.seed)
        self.slices = []
        at = before = 0
        for i in range(tasks):
            length = share(n, tasks, i)
            rounds = length // chunk + 1 if run["tail"] else -(-length // chunk)
            first = run["sample"] - before % run["sample"] if run["sample"] else 0
            self.slices.append((at, length, rounds, first))
            at += length
            before += rounds
        self.rounds = before

    def iterate(self, run):
        self.delay, self.done = run.recorder("resume_delay"), run.recorder("completion")
        self.early = 0
        asyncio.run(self.root(run))

    async def root(self, run):
        run.begin()
        self.started = now()
        tasks = [asyncio.create_task(self.part(run, *s)) for s in self.slices]
        self.results = [await task for task in tasks]
        run.end()

    async def part(self, run, at, length, rounds, sample_in):
        numbers, chunk, pause, sample = self.numbers, run["chunk"], run["pause"], run["sample"]
        end, total = at + length, 0
        for _ in range(rounds):
            total += sum(numbers[at:min(at + chunk, end)])
            at += chunk
            sample_in -= 1
            record = sample_in == 0
            if record:
                sample_in = sample
            if pause:
                due = now() + pause
                await asyncio.sleep(pause / 1e9)
                late = now() - due
                self.early += late < 0
                if record:
                    self.delay(late)
            elif record:
                before = now()
                await asyncio.sleep(0)
                self.delay(now() - before)
            else:
                await asyncio.sleep(0)
        self.done(now() - self.started)
        return total & MASK, rounds

    def verify(self, run):
        wanted = [sum(memoryview(self.numbers)[at:at + length]) & MASK
                  for at, length, _, _ in self.slices]
        if len(wanted) <= 4:
            for i, (expected, (total, _)) in enumerate(zip(wanted, self.results)):
                run.check(f"sum_{chr(65 + i)}", expected, total)
        run.check("total", sum(wanted), sum(t for t, _ in self.results))
        run.check("tasks_with_the_right_sum", len(wanted),
                  sum(e == t for e, (t, _) in zip(wanted, self.results)))
        run.check("tasks_with_the_right_yields", len(wanted),
                  sum(s[2] == y for s, (_, y) in zip(self.slices, self.results)))
        if run["pause"]:
            run.check("wakes_before_their_deadline", 0, self.early)
        run.operations = self.rounds
        run.metric("elements", run["items"], "1", "none")
        run.metric("elements_per_s", run["items"] * 1e9 / (run.end_ns - run.begin_ns), "1/s",
                   "higher")


class Yield:
    KNOWS = {"tasks": ANY, "switches": ANY, "sample": ANY, "sites": 1, "depth": 0}

    def setup(self, run):
        self.shares = [share(run["switches"], run["tasks"], i) for i in range(run["tasks"])]

    def iterate(self, run):
        self.turnaround = run.recorder("turnaround")
        asyncio.run(self.root(run))

    async def root(self, run):
        run.begin()
        tasks = [asyncio.create_task(self.yielder(n, run["sample"])) for n in self.shares]
        self.made = sum([await task for task in tasks])
        run.end()

    async def yielder(self, count, sample):
        left = count
        while sample and left >= sample:
            before = now()
            await asyncio.sleep(0)
            self.turnaround(now() - before)
            for _ in range(sample - 1):
                await asyncio.sleep(0)
            left -= sample
        for _ in range(left):
            await asyncio.sleep(0)
        return count

    def verify(self, run):
        run.check("yields", run["switches"], self.made)
        run.operations = run["switches"]


class SpawnJoin:
    KNOWS = {"tasks": ANY, "alive": ANY, "sample": ANY}

    def setup(self, run):
        self.per_sample = max(run["sample"] // run["alive"], 1)

    def iterate(self, run):
        self.delay = run.recorder("start_delay")
        asyncio.run(self.root(run))

    async def root(self, run):
        tasks, alive = run["tasks"], run["alive"]
        self.joined = self.sum = batch = 0
        run.begin()
        for first in range(1, tasks + 1, alive):
            count = min(alive, tasks + 1 - first)
            timed = -1
            if run["sample"] and batch % self.per_sample == 0:
                timed = batch // self.per_sample % count
            living = [asyncio.create_task(self.timed(first + i, now()) if i == timed
                                          else self.empty(first + i)) for i in range(count)]
            for task in living:
                self.sum += await task
            self.joined += count
            batch += 1
        run.end()

    @staticmethod
    async def empty(number):
        return number

    async def timed(self, number, spawned):
        self.delay(now() - spawned)
        return number

    def verify(self, run):
        n = run["tasks"]
        run.check("tasks_joined", n, self.joined)
        run.check("sum_of_results", n * (n + 1) // 2, self.sum)
        run.operations = n


class Timers:
    KNOWS = {"tasks": ANY, "sleeps": ANY, "period": ANY, "mode": ANY, "spread": ANY, "cancel": ANY,
             "sample": ANY, "skip": ANY, "busy": 0}
    STRIDE = 0x632BE59BD9B4E019

    def setup(self, run):
        self.cancel_below = int(run["cancel"] * 2 ** 53)

    def iterate(self, run):
        self.lateness = run.recorder("lateness")
        self.early = self.done = self.asked = self.answered = self.cancelled = 0
        asyncio.run(self.root(run))

    async def root(self, run):
        self.requests = asyncio.Queue()
        run.begin()
        server = asyncio.create_task(self.serve())
        tasks = [asyncio.create_task(self.sleeper(run, (run.seed + i * self.STRIDE) & MASK))
                 for i in range(run["tasks"])]
        for task in tasks:
            await task
        self.requests.put_nowait(None)
        await server
        run.end()

    async def serve(self):
        while (asker := await self.requests.get()) is not None:
            self.answered += 1
            if not asker.done():
                asker.set_result(True)

    async def sleeper(self, run, state):
        period, spread, fixed = run["period"], run["spread"], run["mode"] == "fixed"
        for index in range(run["sleeps"]):
            length = period
            due = now()
            if not fixed:
                state, draw = splitmix64(state)
                length = period - spread + (draw * (2 * spread + 1) >> 64)
            due += length
            if self.cancel_below:
                state, draw = splitmix64(state)
                if draw >> 11 < self.cancel_below:
                    await self.request(run, index, due, length)
                    self.done += 1
                    continue
            await asyncio.sleep(length / 1e9)
            self.note(run, index, due)
            self.done += 1

    async def request(self, run, index, due, length):
        """A request with a timeout, answered at once by the server."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        timeout = loop.call_later(length / 1e9, lambda: answer.done() or answer.set_result(False))
        self.asked += 1
        self.requests.put_nowait(answer)
        if await answer:
            timeout.cancel()
            self.cancelled += 1
        else:
            self.note(run, index, due)

    def note(self, run, index, due):
        late = now() - due
        self.early += late < 0
        if run["sample"] and index >= run["skip"] and index % run["sample"] == 0:
            self.lateness(late)

    def verify(self, run):
        waits = run["tasks"] * run["sleeps"]
        run.check("waits", waits, self.done)
        run.check("wakes_before_their_deadline", 0, self.early)
        run.check("answers", self.asked, self.answered)
        run.operations = waits
        if self.asked:
            run.metric("cancelled_of_requests", self.cancelled / self.asked, "1", "none")
        run.metric("cpu_ns_per_timer", (run.cpu_end_ns - run.cpu_begin_ns) / waits, "ns", "lower")


class Ring:
    KNOWS = {"tasks": ANY, "hops": ANY, "over": "semaphore", "sample": ANY}

    def setup(self, run):
        n = run["tasks"]
        self.rounds = [share(run["hops"], n, i) for i in range(n)]
        self.per_sample = max(run["sample"] // n, 1)

    def iterate(self, run):
        self.lap = run.recorder("lap")
        asyncio.run(self.root(run))

    async def root(self, run):
        n = run["tasks"]
        self.turn = [asyncio.Semaphore(0) for _ in range(n)]
        self.token = [0] * n
        self.wrong = 0
        tasks = [asyncio.create_task(self.member(run, i, n)) for i in range(n)]
        await asyncio.sleep(0)      # all of them wait at their places
        run.begin()
        self.turn[0].release()
        self.made = sum([await task for task in tasks])
        run.end()

    async def member(self, run, index, n):
        turn, token, hops = self.turn, self.token, run["hops"]
        mine, following = turn[index], (index + 1) % n
        lap_in = 1 if run["sample"] and index == 0 else -1
        since = 0
        for number in range(self.rounds[index]):
            await mine.acquire()
            held = token[index]
            self.wrong += held != number * n + index
            lap_in -= 1
            if lap_in == 0:
                lap_in, since = self.time_lap(since)
            if held + 1 < hops:
                token[following] = held + 1
                turn[following].release()
        return self.rounds[index]

    def time_lap(self, since):
        """Starts or ends the timing of a lap; (in how many laps to come again, since when)."""
        at = now()
        if since:
            self.lap(at - since)
            if self.per_sample > 1:
                return self.per_sample - 1, 0
        return 1, at

    def verify(self, run):
        run.check("hops", run["hops"], self.made)
        run.check("tokens_out_of_sequence", 0, self.wrong)
        run.operations = run["hops"]


class Skynet:
    KNOWS = {"leaves": ANY, "width": ANY, "sample": ANY}

    def setup(self, run):
        if run["leaves"] > 1_000_000:
            raise Skip("more than a million coroutines at once need more memory than asyncio "
                       "leaves on most machines")
        self.per_sample = max(run["sample"] // run["width"], 1)

    def iterate(self, run):
        self.delay = run.recorder("start_delay")
        asyncio.run(self.root(run))

    async def root(self, run):
        self.width, self.sample = run["width"], run["sample"]
        run.begin()
        self.sum = await asyncio.create_task(self.node(0, run["leaves"], 0))
        run.end()

    async def node(self, first, size, spawned):
        if size == 1:
            if spawned:
                self.delay(now() - spawned)
            return first
        size //= self.width
        children = []
        for i in range(self.width):
            at = 0
            if i == 0 and size == 1 and self.sample and \
                    first // self.width % self.per_sample == 0:
                at = now()
            children.append(asyncio.create_task(self.node(first + i * size, size, at)))
        total = 0
        for child in children:
            total += await child
        return total

    def verify(self, run):
        n = run["leaves"]
        run.check("sum_of_leaves", n * (n - 1) // 2, self.sum)
        run.operations = n


def settle(settings: dict[str, str], _workload: str) -> dict[str, str]:
    for key, value in settings.items():
        if key != "workers":
            raise Failure(f"asyncio has no setting {key!r}; it has workers")
        if value != "1":
            raise Skip(f"asyncio runs its tasks on one thread; workers={value} is not to be had")
    return {"workers": "1", "runtime": VERSION.lower().replace(" ", "-"), "loop": "default"}


VERSION = f"{platform.python_implementation()} {platform.python_version()}"


def main() -> int:
    server = HERE.with_name("asyncio_echo.py")
    sources = [HERE, server, *map(HERE.with_name, ("asyncio_openloop.py", "echo_floor.py", "lines.py"))]
    digest = hashlib.sha256(VERSION.encode() + b"".join(s.read_bytes() for s in sources))
    return lines.main(
        "asyncio", VERSION, digest.hexdigest()[:40],
        {"chunked_sum": ChunkedSum, "yield": Yield, "spawn_join": SpawnJoin, "timers": Timers,
         "ring": Ring, "skynet": Skynet, "openloop": OpenLoop,
         "echo": lambda: Echo(lambda: "exec", [sys.executable, str(server)])}, settle)


if __name__ == "__main__":
    sys.exit(main())
