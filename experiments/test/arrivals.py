# SPDX-License-Identifier: MIT
"""The arrival table of the workload `openloop`, the same bits as in C.

Written from the description in workloads/arrivals.h and workloads/variates.h, in integers alone: an
independent recomputation. A table's `hash` is the fact `arrivals.hash` of a record.
"""
from __future__ import annotations

from dataclasses import dataclass

MASK = (1 << 64) - 1
LN2_Q32 = 2977044472
SERVICE_MOST_NS = 3_600_000_000_000
LAWS = ("fixed", "exponential", "bimodal", "extreme", "lognormal", "mix")
MIX = ((11, 5700), (12, 6000), (23, 20000), (24, 88000), (25, 100000))


def splitmix64(state: int) -> tuple[int, int]:
    """(next state, number)."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


class Rng:
    """xoshiro256**, seeded by splitmix64."""

    def __init__(self, seed: int) -> None:
        self.s = []
        for _ in range(4):
            seed, word = splitmix64(seed)
            self.s.append(word)

    def next(self) -> int:
        s0, s1, s2, s3 = self.s
        x = (s1 * 5) & MASK
        result = (((x << 7) | (x >> 57)) & MASK) * 9 & MASK
        t = (s1 << 17) & MASK
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        self.s = [s0, s1, s2, ((s3 << 45) | (s3 >> 19)) & MASK]
        return result

    def exponential(self) -> tuple[int, int]:
        """A variate of mean 1: whole part, and fraction in 2^-64."""
        whole = 0
        while True:
            first = last = self.next()
            odd = True
            while (u := self.next()) < last:
                last, odd = u, not odd
            if odd:
                return whole, first
            whole += 1

    def exponential_of(self, scale: int) -> int:
        whole, fraction = self.exponential()
        return min(scale * whole + (scale * fraction >> 64), MASK)

    def normal(self) -> int:
        """In units of 2^-32."""
        one = 1 << 32
        while True:
            whole, fraction = self.exponential()
            other, part = self.exponential()
            if whole >= 64:
                continue
            x = (whole << 32) + (fraction >> 32)
            if 2 * ((other << 32) + (part >> 32)) <= (x - one) ** 2 >> 32:
                continue
            return -x if self.next() >> 63 else x


def scaled_exp(scale: int, y: int, most: int) -> int:
    """scale * exp(y / 2^32), rounded down, at most `most`."""
    n = y // LN2_Q32
    g = (y - n * LN2_Q32) << 32
    r = one = 1 << 62
    for i in range(16, 0, -1):
        r = one + (g * r >> 64) // i
    if n > 62:
        return most if scale else 0
    return min(scale * r >> (62 - n), most)


@dataclass(frozen=True)
class Arrival:
    at_ns: int
    service_ns: int
    kind: int  # its class


def _service(rng: Rng, law: str, mean: int, sigma: int) -> tuple[int, int]:
    """Service time in ns and class."""
    if law == "fixed":
        return mean, 0
    if law == "exponential":
        return rng.exponential_of(mean), 0
    if law == "bimodal":
        kind = rng.next() >> 63
        return mean * (200 if kind else 2) // 101, kind
    if law == "extreme":
        kind = int(rng.next() * 200 >> 64 == 0)
        return mean * (200000 if kind else 200) // 1199, kind
    if law == "lognormal":
        z = rng.normal()
        spread = sigma * abs(z) >> 16
        return scaled_exp(mean, (spread if z >= 0 else -spread) - sigma * sigma // 2, SERVICE_MOST_NS), 0
    if law == "mix":
        at = rng.next() * 25 >> 64
        kind = next(k for k, (until, _) in enumerate(MIX) if at < until)
        return mean * MIX[kind][1] // 19068, kind
    raise ValueError(f"unknown law {law!r}: {', '.join(LAWS)}")


def table(seed: int, count: int, rate: int, *, process: str = "poisson", law: str = "exponential",
          mean_ns: int = 10_000, sigma: float = 1.0) -> list[Arrival]:
    """All arrivals, in order; rate is per second, as in the record's parameters.

    OverflowError: the last one would arrive after 2^48 ns."""
    state, times_seed = splitmix64(seed)
    _, services_seed = splitmix64(state)
    times, services = Rng(times_seed), Rng(services_seed)
    gap, time, made = (10**9 << 16) // rate, 0, []
    beyond = OverflowError(f"{count} requests at a rate of {rate} a second would arrive for more than "
                           "78 hours, the most that a table of arrivals spans")
    if count * gap > 2 * MASK:      # no draws bring it back: do not even begin
        raise beyond
    for _ in range(count):
        time += times.exponential_of(gap) if process == "poisson" else gap
        if time > MASK:
            raise beyond
        service, kind = _service(services, law, mean_ns, int(sigma * 65536 + 0.5))
        made.append(Arrival(time >> 16, max(1, min(service, SERVICE_MOST_NS)), kind))
    return made


def rate_of(load: float, mean_ns: int) -> int:
    """The rate that a load implies."""
    return int(load * 1e9 / mean_ns + 0.5)


def table_hash(arrivals: list[Arrival]) -> str:
    """FNV-1a of the table, in 16 hexadecimal digits."""
    value = 0xCBF29CE484222325
    for a in arrivals:
        for word in (a.at_ns, a.service_ns, a.kind):
            for byte in word.to_bytes(8, "little"):
                value = (value ^ byte) * 0x100000001B3 & MASK
    return f"{value:016x}"
