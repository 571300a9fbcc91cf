# SPDX-License-Identifier: MIT
"""The runs of a plan: their order and seeds, and each as the words that a driver is given."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from .specs import join_spec


def blocks(seed: int, repetitions: int, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    chance = random.Random(f"shunt plan {seed}")
    found = []
    for repetition in range(1, repetitions + 1):
        chance_round = list(points)
        chance.shuffle(chance_round)
        for point in chance_round:
            order = list(point["arms"])
            chance.shuffle(order)
            found.append({"id": f"b{len(found) + 1:04d}", "point": point["id"],
                          "repetition": repetition, "order": order,
                          "seed": block_seed(seed, point["id"], repetition)})
    return found


def block_seed(seed: int, point: str, repetition: int) -> str:
    digest = hashlib.sha256(f"{seed}/{point}/{repetition}".encode()).digest()
    return str(int.from_bytes(digest[:8], "big"))


def run_arguments(plan: dict[str, Any], block: dict[str, Any], arm: str) -> list[str]:
    """What a driver is given for one run, without the driver and without --record."""
    point = next(p for p in plan["points"] if p["id"] == block["point"])
    row = next(a for a in plan["arms"] if a["name"] == arm)
    words = ["run", join_spec(row["backend"], point["overrides"]), point["workload"]]
    words += [f"{k}={v}" for k, v in point["params"].items()]
    words += ["--seed", block["seed"]]
    for key in ("warmup", "iters"):
        value = point.get(key) if point.get(key) is not None else plan.get(key)
        if value is not None:
            words += [f"--{key}", str(value)]
    if "digits" in plan:
        words += ["--digits", str(plan["digits"])]
    for plugin in plan.get("plugins", []) if row["driver"] == "shunt" else []:
        words += ["--plugin", plugin["file"]]
    return words + ["--arm", arm, "--repetition", str(block["repetition"]), "--block", block["id"]]


def timeout_of(plan: dict[str, Any], point: dict[str, Any]) -> float:
    return point.get("timeout_s") or plan["timeout_s"]
