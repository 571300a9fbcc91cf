# SPDX-License-Identifier: MIT
"""What disturbed the runs of a campaign: runs without a value, other programs, the hypervisor."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterable

from .campaign import Campaign
from .points import fact, manifest_of

STEAL_SHARE = 0.01      # of the time of a campaign's runs, above which it is said


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


def _load(campaign: Campaign) -> list[str]:
    """Where runs began beside more programs than there are processors."""
    busy, most, on = 0, 0.0, 0
    cpus: dict[str, int] = {}
    for r in campaign.records:
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
    known = [(ticks, int(r["times"]["elapsed_ns"])) for r in campaign.records
             if (ticks := steal_ticks(r)) is not None]
    share = sum(t for t, _ in known) * 1e7 / max(1, sum(ns for _, ns in known))
    return [f"the hypervisor took {100 * share:.2g} % of one CPU from the runs"
            ] if share > STEAL_SHARE else []
