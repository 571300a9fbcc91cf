# SPDX-License-Identifier: MIT
"""What disturbed the runs of a campaign: runs without a value, other programs, the hypervisor, neighbours."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any, Hashable, Iterable

from ..data.records import probe_times
from ..planning.campaign import Campaign
from ..tools.units import comparisons
from .points import Point, fact, gather, manifest_of

STEAL_SHARE = 0.01      # of the time of a campaign's runs: above it there is a caution
SERVICE_RATIO = 1.1     # measured by the table's: at and above it a run's record has a caveat, too
PREEMPTED = 50          # involuntary switches a second: above it a run's record has a caveat, too
PREEMPTED_TIMES = 2     # an arm's rate by the baseline's, or the reverse: from it on there is a caution
SLOWED = 1.5            # a loop of the probe by its quiet time: from it on a run was disturbed
QUIET = 0.1             # the quiet time is this quantile of a loop's times


def reason_class(record: dict[str, Any]) -> str:
    """Why a run has no value, in one word: "invalid" says that its measurement cannot be trusted."""
    return "invalid" if record["reason"].startswith("invalid") else record["status"]


def disturbed(campaigns: Iterable[Campaign]) -> list[str]:
    """One sentence a kind of disturbance; empty where there was none."""
    found = []
    for campaign in campaigns:
        lost = Counter(reason_class(r) for r in campaign.records if r["status"] != "ok")
        found += [f"{n} of {len(campaign.records)} runs {why}" for why, n in lost.most_common()]
        found += _load(campaign) + _steal(campaign)
    return found


def _live(campaign: Campaign) -> list[dict[str, Any]]:
    """The records of what ran in the machine's time: nothing disturbs virtual time."""
    return [r for r in campaign.records if not _is_virtual(r)]


def _is_virtual(record: dict[str, Any]) -> bool:
    return record["identity"].get("composition", {}).get("wait") == "virtual"


def _load(campaign: Campaign) -> list[str]:
    """Where runs began beside more programs than there are processors."""
    busy, most, on = 0, 0.0, 0
    cpus: dict[str, int] = {}
    for r in _live(campaign):
        if r["env_id"] not in cpus:
            cpus[r["env_id"]] = int(fact(manifest_of(r), "cpu.logical") or 0)
        load = float(r.get("interference", {}).get("before", {}).get("load1", 0))
        if cpus[r["env_id"]] and load > cpus[r["env_id"]]:
            busy += 1
            most, on = max((most, on), (load, cpus[r["env_id"]]))
    return [f"load {most:.3g} on {on} CPUs at most, above their number in {busy} of "
            f"{len(campaign.records)} runs"] if busy else []


def steal_ticks(record: dict[str, Any]) -> int | None:
    """Ticks, of 10 ms, that the hypervisor took during a run; None where that is not known."""
    before, after = (record.get("interference", {}).get(k, {}) for k in ("before", "after"))
    if "steal_ticks" not in before or "steal_ticks" not in after:
        return None
    return int(after["steal_ticks"]) - int(before["steal_ticks"])


def _steal(campaign: Campaign) -> list[str]:
    known = [(ticks, int(r["times"]["elapsed_ns"])) for r in _live(campaign)
             if (ticks := steal_ticks(r)) is not None]
    share = sum(t for t, _ in known) * 1e7 / max(1, sum(ns for _, ns in known))
    return [f"the hypervisor took {100 * share:.2g} % of one CPU from the runs"
            ] if share > STEAL_SHARE else []


# ---- the processor was taken: a caution beside every verdict ------------------------------------

def taken(campaigns: Iterable[Campaign], baseline: str) -> list[str]:
    """Signs in the runs with a value that they did not have the processor for themselves."""
    return [text for c in campaigns for text in _service(c) + _preempted(c, baseline) + _probed(c)]


def _probed(campaign: Campaign) -> list[str]:
    runs = {}
    for r in _live(campaign):
        if times := probe_times(r):
            said = r["identity"]
            build = r["machine_class"], r["lab"]["node"], said["driver"], said.get("build_id", "")
            runs[f"{r['block']}.{r['arm']}"] = build, times
    return slowed_text(slowed(runs), len(runs))


def slowed(runs: dict[str, tuple[Hashable, list[float]]]) -> dict[str, float]:
    """{run: by how much a loop of its probe exceeded its quiet time}, the slowest first, of those that
    were disturbed. `runs` has the machine and build of each, which share a quiet time, and its times."""
    groups: dict[Hashable, dict[str, list[float]]] = {}
    for run, (build, times) in runs.items():
        groups.setdefault(build, {})[run] = times
    found = {}
    for group in groups.values():
        quiet = [max(1e-9, sorted(loop)[int(QUIET * len(loop))]) for loop in zip(*group.values())]
        found |= {run: max(t / q for t, q in zip(times, quiet)) for run, times in group.items()}
    return {run: x for run, x in sorted(found.items(), key=lambda f: -f[1]) if x >= SLOWED}


def slowed_text(found: dict[str, float], runs: int) -> list[str]:
    named = ", ".join(f"{run} {x:.1f} ×" for run, x in [*found.items()][:5])
    more = ", …; `lab status --json` names all" if len(found) > 5 else ""
    return [f"other work slowed the processor around {len(found)} of {runs} runs: the interference probe "
            f"took {SLOWED} × its quiet time or more ({named}{more})"] if found else []


def _service(campaign: Campaign) -> list[str]:
    ratios = [m["service_ratio"]["value"] for r in campaign.ok()
              if "service_ratio" in (m := r["metrics"])]
    late = sum(ratio >= SERVICE_RATIO for ratio in ratios)
    return [f"{late} of {len(ratios)} runs: the measured service was {SERVICE_RATIO} × the table's or "
            "more (the host took the processor, or the slices are too short)"] if late else []


def _preempted(campaign: Campaign, baseline: str) -> list[str]:
    """Where an arm lost the processor far more often, or far less, than the baseline did."""
    compared, far = 0, []
    for point in gather(campaign):
        rates = {arm: rate for arm in point.runs if (rate := _switches(point, arm)) is not None}
        for arm in rates.keys() - {baseline} if baseline in rates else ():
            compared += 1
            low, high = sorted((rates[arm], rates[baseline]))
            if high > PREEMPTED and high >= PREEMPTED_TIMES * low:
                far.append((high - low, f"{arm} at {point.label}: {rates[arm]:.0f} a second, "
                            f"{baseline} {rates[baseline]:.0f}"))
    return [f"involuntary context switches in {len(far)} of {comparisons(compared)}: "
            f"{PREEMPTED_TIMES} × the baseline's or more, or that much fewer ({max(far)[1]}); the "
            "difference between these arms contains it"] if far else []


def _switches(point: Point, arm: str) -> float | None:
    """Involuntary context switches a second of what was measured: the median of an arm's runs."""
    rates = [int(n) * 1e9 / ns for r in point.runs[arm].values() if not _is_virtual(r)
             and (n := r["usage"].get("involuntary_switches")) is not None
             and (ns := sum(int(i["wall_ns"]) for i in r["iterations"]))]
    return statistics.median(rates) if rates else None
