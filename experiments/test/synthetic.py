# SPDX-License-Identifier: MIT
"""Campaigns out of a seeded generator, for the tests of whatever reads campaigns.

Every file is what the lab would write: the plan's hash is right, each record satisfies the schema,
and its manifest lies beside it. The values come from a model given by the test.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any, Callable

from shuntlab.data import packed, records as rec
from shuntlab.planning import kept_plan

# What a model returns: metrics {name: (value, unit, better)}, and optionally series
# {name: list of ns}, counters, a status other than ok with its reason.
Model = Callable[..., dict[str, Any]]


def series(samples: list[float], unit: str = "ns", digits: int = 3) -> dict[str, Any]:
    whole = [max(0, int(s)) for s in samples]
    buckets: dict[int, int] = {}
    for s in whole:
        index = rec.hist_index(s, digits)
        buckets[index] = buckets.get(index, 0) + 1
    made: dict[str, Any] = {"unit": unit, "count": len(whole), "sum": str(sum(whole)) if sum(whole)
                            else 0, "digits": digits,
                            "buckets": [[i, buckets[i]] for i in sorted(buckets)], "quantiles": {}}
    if whole:
        made |= {"min": min(whole), "max": max(whole)}
    return made


def _hex(text: str, digits: int = 16) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _fact(value: Any) -> dict[str, Any]:
    return {"value": value, "source": "generator"}


_ABSENT = ("build.libraries cpu.microcode cpu.caches cpu.smt cpu.governor cpu.boost cpu.isolated "
           "cpu.allowed cpu.mitigations kernel.version kernel.cmdline kernel.io_uring_disabled "
           "kernel.max_map_count kernel.thp kernel.timer_slack_ns machine.hostname "
           "machine.hypervisor machine.memory_bytes machine.cgroup library.libc "
           "topology.xml").split()


def manifest(machine: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    facts: dict[str, Any] = {name: {"absent": "a generated campaign"} for name in _ABSENT}
    facts |= {"build.commit": _fact("0123abc"), "build.dirty": _fact(False),
              "build.compiler": _fact("gcc 12.2.0"), "build.flags": _fact("-O2"),
              "build.id": _fact("ab" * 10), "cpu.arch": _fact("x86_64"),
              "cpu.model": _fact(machine), "cpu.logical": _fact(4), "cpu.cores": _fact(2),
              "kernel.release": _fact("6.1.0"), "kernel.clocksource": _fact("tsc")}
    facts |= {k: _fact(v) for k, v in (extra or {}).items()}
    core = {"schema": "shunt.env/1", "facts": facts, "redacted": False}
    text = json.dumps(core, sort_keys=True, separators=(",", ":"))
    return {**core, "env_id": _hex(text, 64), "machine_class": _hex(machine), "volatile": {}}


def plan(name: str, arms: list[str], points: list[dict[str, Any]], repetitions: int, seed: int,
         **more: Any) -> dict[str, Any]:
    """A frozen plan; `points` give {"workload", "label", "axes", "params"} (all but the first optional)."""
    rng = random.Random(seed)
    control = more.pop("control", f"{arms[0]}-again")
    backends = more.pop("backends", {})
    names = arms + ([control] if control else [])
    made = [{"id": f"p{i:03d}", "workload": p["workload"], "axes": p.get("axes", {}),
             "label": p.get("label", ""),
             "params": p.get("params", {k: v for k, v in p.get("axes", {}).items()
                                        if not k.startswith("backend.")}),
             "overrides": {}, "arms": p.get("arms", names), "excluded": p.get("excluded", [])}
            for i, p in enumerate(points)]
    blocks = []
    for repetition in range(repetitions):
        for p in made:
            order = list(p["arms"])
            rng.shuffle(order)
            blocks.append({"id": f"b{len(blocks):04d}", "point": p["id"],
                           "repetition": repetition, "order": order,
                           "seed": str(rng.getrandbits(32))})
    title = more.pop("title", name)
    question = more.pop("question", "Which arm is faster?")
    whole = {"schema": kept_plan.PLAN_SCHEMA, "plan_id": "", "created": "2026-11-22", "seed": str(seed),
             "experiment": {"name": name, "title": title, "question": question,
                            "expectation": "A generated one.", "file": f"{name}.toml",
                            "sha256": _hex(name, 64)},
             "repetitions": repetitions, "warmup": 1, "iters": 1, "timeout_s": 60.0,
             "order": "rounds", "margin": 0.02, "alpha": 0.05, "baseline": arms[0],
             "control": control, "points": made, "blocks": blocks,
             "arms": [{"name": n, "driver": "shunt", "why": "",
                       "backend": backends.get(n, arms[0] if n == control else n)}
                      for n in names],
             "metrics": more.pop("metrics", []), "expect": more.pop("expect", []),
             "figures": more.pop("figures", []), "cpus": "all", "commands": {}, "drivers": {},
             "types": {}, **more}
    return kept_plan.sealed(whole)


def record(the_plan: dict[str, Any], block: dict[str, Any], arm: str, env: dict[str, Any],
           values: dict[str, Any]) -> dict[str, Any]:
    point = next(p for p in the_plan["points"] if p["id"] == block["point"])
    backend = next(a["backend"] for a in the_plan["arms"] if a["name"] == arm)
    status = values.get("status", "ok")
    spec = ",".join(f"{k}={v}" for k, v in point["params"].items())
    what = {
        "arm": arm, "block": block["id"], "machine_class": env["machine_class"],
        "repetition": block["repetition"],
        "identity": {"driver": "shunt", "backend": backend.partition(":")[0],
                     "composition": values.get("composition", {}), "workload": point["workload"],
                     "params": point["params"], "seed": block["seed"], "build_id": "ab" * 10}}
    made: dict[str, Any] = {
        **what, "schema": rec.SCHEMA, "run_id": _hex(json.dumps(what, sort_keys=True,
                                                                separators=(",", ":"))),
        "status": status, "reason": values.get("reason", "" if status == "ok" else "generated"),
        "argv": ["shunt", "run", backend, point["workload"], *spec.split(","), "--seed",
                 block["seed"]],
        "times": {"started": "2026-11-22T12:00:00.000Z", "finished": "2026-11-22T12:00:01.000Z",
                  "elapsed_ns": 1000000000},
        "env_id": env["env_id"], "warmup": 1}
    if status == "ok":
        metrics = {"wall_ns": (1e6, "ns", "lower")} | values["metrics"]
        made |= {"metrics": {k: {"value": v, "unit": u, "better": b}
                             for k, (v, u, b) in metrics.items()},
                 "iterations": [{"wall_ns": 1000000, "ops": 1000}],
                 "series": {k: series(v) for k, v in values.get("series", {}).items()},
                 "counters": values.get("counters", {"switches": 1000}),
                 "usage": values.get("usage", {}), "facts": values.get("facts", {}),
                 **{k: values[k] for k in ("processor",) if k in values},
                 "checks": [{"name": "total", "expected": "1", "actual": "1", "ok": True}],
                 "interference": {"before": {"load1": 0.1, "steal_ticks": 0, **values.get("probe", {})},
                                  "after": {"load1": 0.2, "steal_ticks": 0, **values.get("probe", {})}}}
    return made


def write(folder: Path, the_plan: dict[str, Any], model: Model, *, machine: str = "Generated CPU",
          seed: int = 1, facts: dict[str, Any] | None = None,
          node_of: Callable[[dict[str, Any], str], str] | None = None) -> Path:
    """Write a whole campaign. model(arm, point, rng, block_noise) gives one run's values; node_of(block, arm)
    the node that makes it, whose name the model finds in point["node"]."""
    (folder / "records" / "env").mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(the_plan))

    def env_on(node: str) -> dict[str, Any]:
        env = manifest(machine, {**(facts or {}), **({"machine.hostname": node} if node else {})})
        (folder / "records" / "env" / f"{env['env_id']}.json").write_text(json.dumps(env))
        return env
    envs = {"": env_on("")} if node_of is None else {}
    points = {p["id"]: p for p in the_plan["points"]}
    rng = random.Random(seed)
    for block in the_plan["blocks"]:
        shared = rng.gauss(0, 1)
        for arm in block["order"]:
            node = node_of(block, arm) if node_of else ""
            env = envs[node] if node in envs else envs.setdefault(node, env_on(node))
            values = model(arm, {**points[block["point"]], "node": node}, rng, shared)
            made = record(the_plan, block, arm, env, values)
            name = packed.record_name(block["id"], arm, made["status"])
            (folder / "records" / name).write_bytes(rec.sealed(made))
    return folder


def ratio_model(base: float, ratios: dict[str, float], noise: float = 0.01,
                block_noise: float = 0.05, metric: str = "ns_per_switch") -> Model:
    """Lognormal times: every arm a fixed multiple of the baseline, blocks drifting together."""
    def model(arm: str, point: dict[str, Any], rng: random.Random, shared: float):
        ratio = ratios.get(arm, 1.0)
        value = base * ratio * math.exp(noise * rng.gauss(0, 1) + block_noise * shared)
        return {"metrics": {metric: (value, "ns", "lower"),
                            "ops_per_s": (1e9 / value, "1/s", "higher")}}
    return model
