# SPDX-License-Identifier: MIT
"""Nodes that are alike: machines of one class whose runs may be read together.

Machines of one class can differ: a node that is hot, throttled or half configured. The baseline tells: it is
one program on all of them. Nodes on which it takes the same time, within the margin, form a stratum. In every
other respect a stratum is a machine: verdicts are reached in it, and between two of them only ratios are
compared. A pair is always of one node.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
from scipy import stats as sps

from ..planning.campaign import Campaign
from . import stats
from .values import headline, value_of
from .verdicts import CONTROL_ALPHA, MARGIN, Comparison, Rules


def alike(logs: dict[str, list[float]], edge: float) -> list[list[str]]:
    """Groups of nodes, the fastest first, by the logarithms of the baseline's values on each.

    A node joins a group unless it differs from the group's runs by more than the margin, and by more than
    chance would have it; or by more than the margin where its runs are too few to tell."""
    groups: list[list[str]] = []
    for node in sorted(logs, key=lambda n: (median(logs[n]), n)):
        if groups and not _differ([x for n in groups[-1] for x in logs[n]], logs[node], edge):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _differ(x: list[float], y: list[float], edge: float) -> bool:
    if abs(median(x) - median(y)) <= edge:
        return False
    too_few = 2 / math.comb(len(x) + len(y), len(x)) > CONTROL_ALPHA      # the least p-value of the test
    return too_few or float(sps.mannwhitneyu(x, y).pvalue) < CONTROL_ALPHA


# ---- the nodes of a campaign ---------------------------------------------------------------------

def machine_key(record: dict[str, Any]) -> tuple[str, str]:
    """A machine: its class, which many share, and its name."""
    return record["machine_class"], record["lab"]["node"]


def strata_of(campaign: Campaign) -> dict[tuple[str, str], str]:
    """{machine: what its points call it}: its class; with the names of the nodes that are like it, where
    not all of its class are."""
    if campaign.strata is None:
        groups = groups_of(campaign)
        names = {(c, node): " ".join([c, *group]) for c, own in groups.items() if len(own) > 1
                 for group in own for node in group}
        machines = sorted({machine_key(r) for r in campaign.records}, key=lambda m: m[1])
        order = dict.fromkeys(r["machine_class"] for r in campaign.records)
        campaign.strata = {(c, node): names.get((c, node), c) for known in order for c, node in machines
                           if c == known}
    return campaign.strata


def groups_of(campaign: Campaign) -> dict[str, list[dict[str, float]]]:
    """{class: its groups of nodes that are alike, the fastest first, each node with what the baseline took
    there in multiples of the fastest}; of classes with several nodes."""
    edge = math.log1p(float(campaign.plan.get("margin", MARGIN)))
    found = {}
    for machine_class, logs in _baseline_logs(campaign).items():
        if len(logs) > 1:
            middle = {node: median(x) for node, x in logs.items()}
            least = min(middle.values())
            found[machine_class] = [{node: math.exp(middle[node] - least) for node in group}
                                    for group in alike(logs, edge)]
    return found


def node_notes(campaign: Campaign) -> list[str]:
    """What there is to say of the nodes of a campaign that ran on several of one class."""
    found = []
    for groups in groups_of(campaign).values():
        if len(groups) == 1:
            found.append(f"{len(groups[0])} nodes ({', '.join(sorted(groups[0]))}): every pair is of one node, "
                         "and the baseline is alike on all of them")
            continue
        said = "; ".join(", ".join(f"{node} {x:.2f} x" for node, x in group.items()) for group in groups)
        found.append("nodes of one class that are not alike are compared apart, and no verdict is given across "
                     f"them; the baseline took, by the fastest node: {said}")
    return found


def _baseline_logs(campaign: Campaign) -> dict[str, dict[str, list[float]]]:
    """{class: {node: logarithms of what the baseline took there over the median at that point on all nodes}}"""
    arms = {campaign.plan.get(k, "") for k in ("baseline", "control")} - {""}
    at: dict[tuple[str, int, str], list[tuple[str, float]]] = {}
    metrics: dict[str, str] = {}
    for r in campaign.ok() if len({r["lab"]["node"] for r in campaign.records}) > 1 else ():
        workload = r["identity"]["workload"]
        if r["arm"] in arms and workload not in metrics:
            metrics[workload] = headline(campaign, workload)
        value = value_of(r, metrics[workload]) if r["arm"] in arms else None
        if value and value.number > 0:
            took = -math.log(value.number) if value.better == "higher" else math.log(value.number)
            at.setdefault((r["machine_class"], r["lab"]["part"], r["lab"]["point"]), []).append(
                (r["lab"]["node"], took))
    found: dict[str, dict[str, list[float]]] = {}
    for (machine_class, *_), values in at.items():
        middle = median(x for _, x in values)
        for node, x in values:
            found.setdefault(machine_class, {}).setdefault(node, []).append(x - middle)
    return found


# ---- nodes that disagree ------------------------------------------------------------------------

def contradicted(comparisons: list[Comparison], rules: Rules) -> list[str]:
    """For each comparison why its nodes do not agree, or an empty text.

    Nodes on which the baseline is alike can still disagree about an arm. Then their pairs are not of one
    kind, and the interval over all of them is too narrow. Kruskal-Wallis, with Holm's adjustment over all
    comparisons that several nodes have runs of; a difference within the margin does not count."""
    tested = [c for c in comparisons if len(_apart(c)) > 1 and not c.is_control]
    adjusted = stats.holm([_p_nodes(c) for c in tested])
    found = {id(c): _disagreement(c) for c, p in zip(tested, adjusted)
             if p <= rules.alpha and np.ptp([np.median(d) for d in _apart(c)]) > rules.edge}
    return [found.get(id(c), "") for c in comparisons]


def _apart(c: Comparison) -> list[np.ndarray]:
    return [d for d in c.by_node.values() if len(d) > 1]


def _p_nodes(c: Comparison) -> float:
    groups = _apart(c)
    return 1.0 if np.ptp(np.concatenate(groups)) == 0 else float(sps.kruskal(*groups).pvalue)


def _disagreement(c: Comparison) -> str:
    middle = sorted((float(np.median(d)), node) for node, d in c.by_node.items())
    (low, first), (high, last) = middle[0], middle[-1]
    return f"the nodes disagree: a ratio of {math.exp(low):.3f} on {first}, of {math.exp(high):.3f} on {last}"
