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
