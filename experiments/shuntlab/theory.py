# SPDX-License-Identifier: MIT
"""What queueing theory says of the workload `openloop`: the lines beside measured points.

Times are in the unit of `mean`, the mean service time; `load` is arrival rate times mean, in
processors. First come, first served, unless the name says otherwise:

  M/G/1   Pollaczek 1930, Khinchine 1932: mean wait = load (1 + c2) mean / (2 (1 - load)), with c2 the
          squared coefficient of variation of the service time; M/M/1 has c2 = 1, M/D/1 has 0
  M/M/k   Erlang 1917: P(wait) = C(k, load); mean wait = C mean / (k - load)
  M/G/1-PS  processor sharing, Kleinrock 1967: mean response = mean / (1 - load) whatever the law, and
          every slowdown is 1 / (1 - load) in the mean

Each function gives math.inf at and beyond capacity.
"""
from __future__ import annotations

import math
from typing import Iterable

# The squared coefficient of variation of each service law of `openloop`.


def c2(law: str, sigma: float = 1.0) -> float:
    """Of a law of arrivals.h at any mean."""
    if law == "fixed":
        return 0.0
    if law == "exponential":
        return 1.0
    if law == "lognormal":
        return math.expm1(sigma * sigma)
    modes = {
        "bimodal": ((0.5, 1.0), (0.5, 100.0)),
        "extreme": ((0.995, 0.5), (0.005, 500.0)),
        "mix": ((0.44, 5.7), (0.04, 6.0), (0.44, 20.0), (0.04, 88.0), (0.04, 100.0)),
    }
    if law not in modes:
        raise ValueError(f"unknown law {law!r}: fixed, exponential, lognormal, {', '.join(modes)}")
    mean = sum(p * x for p, x in modes[law])
    return sum(p * x * x for p, x in modes[law]) / (mean * mean) - 1


def erlang_c(servers: int, load: float) -> float:
    """The probability that an arrival at M/M/k waits; 1 at and beyond capacity."""
    if load >= servers:
        return 1.0
    blocked = 1.0  # Erlang's B, by its recursion
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def wait_mg1(load: float, mean: float, squared_cv: float) -> float:
    """Mean wait before service."""
    return load * (1 + squared_cv) * mean / (2 * (1 - load)) if load < 1 else math.inf


def wait_mmk(servers: int, load: float, mean: float) -> float:
    return erlang_c(servers, load) * mean / (servers - load) if load < servers else math.inf


def response_ps(load: float, mean: float) -> float:
    """Mean response of M/G/1 under processor sharing."""
    return mean / (1 - load) if load < 1 else math.inf


def response_quantile_mm1(load: float, mean: float, q: float) -> float:
    """The response of M/M/1 is exponential: its quantile, 0 <= q < 1."""
    return -math.log1p(-q) * mean / (1 - load) if load < 1 else math.inf


def wait_quantile_mmk(servers: int, load: float, mean: float, q: float) -> float:
    """A wait of M/M/k is 0, or exponential."""
    if load >= servers:
        return math.inf
    waits = erlang_c(servers, load)
    return 0.0 if q <= 1 - waits else math.log(waits / (1 - q)) * mean / (servers - load)


def line(system: str, loads: Iterable[float], mean: float, *, law: str = "exponential", sigma: float = 1.0,
         servers: int = 1) -> list[float]:
    """Mean waits (responses for "ps") over loads, for a figure: system is "fcfs" or "ps"."""
    if system == "ps":
        return [response_ps(load, mean) for load in loads]
    if system != "fcfs":
        raise ValueError(f"unknown system {system!r}: fcfs or ps")
    if servers == 1:
        return [wait_mg1(load, mean, c2(law, sigma)) for load in loads]
    if law != "exponential":
        raise ValueError("with several servers only exponential service has a formula")
    return [wait_mmk(servers, load, mean) for load in loads]


# ---- the same queues, exactly, on one table ---------------------------------------------------------


def waits_fcfs(arrivals: Iterable[float], services: Iterable[float], servers: int = 1) -> list[float]:
    """Each request's wait: Lindley's recursion, for any number of servers (Kiefer and Wolfowitz)."""
    free = [0.0] * servers
    waits = []
    for at, service in zip(arrivals, services):
        server = min(range(servers), key=free.__getitem__)
        start = max(at, free[server])
        free[server] = start + service
        waits.append(start - at)
    return waits


def responses_ps(arrivals: list[float], services: list[float]) -> list[float]:
    """Each request's response under processor sharing, by virtual time: all in service gain alike."""
    import heapq

    now = gained = 0.0
    inside: list[tuple[float, int]] = []  # what `gained` must reach, and whose
    responses = [0.0] * len(services)

    def advance(until: float) -> None:
        nonlocal now, gained
        while inside:
            goal, index = inside[0]
            end = now + (goal - gained) * len(inside)
            if end > until:
                break
            heapq.heappop(inside)
            now, gained = end, goal
            responses[index] = end - arrivals[index]
        if inside and until < math.inf:
            gained += (until - now) / len(inside)
        now = until

    for index, (at, service) in enumerate(zip(arrivals, services)):
        advance(at)
        heapq.heappush(inside, (gained + service, index))
    advance(math.inf)
    return responses
