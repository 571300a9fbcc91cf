# SPDX-License-Identifier: MIT
"""The counters of the report page: what processor and kernel counted for an operation, and why they did not."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any, Iterator

from ..planning.campaign import Campaign
from ..statistics.points import gather, plain
from ..statistics.values import HARDWARE, SOFTWARE, value_of
from .page import esc, table

_EVENTS = HARDWARE + SOFTWARE


def counted_part(campaigns: list[Campaign]) -> Iterator[str]:
    yield '<h2 id="counters">Counters</h2>'
    yield (f"<p>For one operation, over all threads, in the last warm-up iteration of a run; of an arm the median "
           f"of its runs. {', '.join(map(_words, HARDWARE))} are of user mode alone.</p>")
    rows = [[point.label, *([point.campaign.path.name] if len(campaigns) > 1 else []), arm, *found]
            for c in campaigns for point in gather(c) for arm, runs in point.runs.items()
            if any(found := [_median(list(runs.values()), event) for event in _EVENTS])]
    some = [i for i in range(len(_EVENTS)) if any(row[i - len(_EVENTS)] for row in rows)]
    if rows:
        head = ["point", *(["campaign"] if len(campaigns) > 1 else []), "arm"]
        yield '<div class="card">' + table(
            [*head, *(_words(_EVENTS[i]) for i in some)],
            [[*row[:len(head)], *(row[len(head) + i] or "-" for i in some)] for row in rows],
            {len(head) + n: "n" for n in range(len(some))}) + "</div>"
    yield from _absent([r for c in campaigns for r in c.ok()])


def _median(runs: list[dict[str, Any]], event: str) -> str:
    found = [v.number for r in runs if (v := value_of(r, f"processor.{event}_per_op"))]
    return plain(median(found), 3) if found else ""


def _words(event: str) -> str:
    return "task clock [ns]" if event == "task_clock_ns" else event.replace("_", " ")


def _absent(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Each reason once, with the number of runs that give it."""
    why = Counter((_words(what), text) for r in runs for what, text in r.get("processor", {}).get("absent", {}).items())
    without = sum("processor" not in r for r in runs)
    lines = [f"{what}: not counted in {n} of {len(runs)} runs: {text}" for (what, text), n in why.most_common()]
    lines += [f"{without} of {len(runs)} runs hold no counts: their program does not count"] if without else []
    if lines:
        yield "<ul>" + "".join(f"<li>{esc(line)}</li>" for line in lines) + "</ul>"
