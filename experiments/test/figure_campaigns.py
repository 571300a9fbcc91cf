# SPDX-License-Identifier: MIT
"""One generated campaign for every kind of figure, each with a truth that the figure must show."""

from __future__ import annotations

import json
import math
from pathlib import Path

import synthetic

YIELD_ARMS = ["asm", "ucontext", "uring", "mn-workers-1-mt-1-policy-steal", "threads"]
YIELD_RATIOS = {"ucontext": 48, "mn-workers-1-mt-1-policy-steal": 1.6, "threads": 300}
LADDER = {"bare": 2.8, "fp": 5.9, "queue": 7.2, "timers": 7.6, "asm": 8.1}
NASTY = r"100% of {A_B} & #1 \input{/etc/passwd} $x^2$ ~<b>é</b> µ→😀"


def _noise(rng, shared, own=0.02, block=0.03):
    return math.exp(own * rng.gauss(0, 1) + block * shared)


def yield_model(arm, point, rng, shared):
    tasks = int(point["axes"]["tasks"])
    ratio = YIELD_RATIOS.get(arm, 1.0)
    ns = 5.9 * ratio * (1 + 0.1 * math.log2(tasks)) * _noise(rng, shared)
    late = [rng.lognormvariate(11 + 0.5 * math.log(ratio), 1.2) for _ in range(300)]
    return {"metrics": {"ns_per_switch": (ns, "ns", "lower"),
                        "ops_per_s": (1e9 / ns, "1/s", "higher")}, "series": {"lateness": late}}


def yields(folder: Path, repetitions=20, machine="Generated CPU", seed=1, figures=None) -> Path:
    declared = figures or [
        {"kind": "lines", "name": "switch", "x": "tasks", "y": "ns_per_switch", "title": NASTY},
        {"kind": "lines", "name": "dots", "where": {"tasks": "2"}},
        {"kind": "forest"},
        {"kind": "parity", "name": "parity", "y": "ns_per_switch", "arms": ["mn*", "ucontext"]},
        {"kind": "ccdf", "name": "tail", "y": "lateness", "facet": "tasks",
         "where": {"tasks": "<= 8"}},
    ]
    points = [{"workload": "yield", "axes": {"tasks": str(t)}} for t in (2, 8, 64, 1024)]
    made = synthetic.plan("switch_cost", YIELD_ARMS, points, repetitions, 1,
                          metrics=["ns_per_switch"], figures=declared)
    return synthetic.write(folder, made, yield_model, machine=machine, seed=seed)


def two_workloads(folder: Path) -> Path:
    points = [{"workload": "yield", "axes": {"tasks": "2"}},
              {"workload": "yield", "axes": {"tasks": "64"}},
              {"workload": "yield", "label": "few", "axes": {"tasks": "8"}}]
    made = synthetic.plan("two_workloads", ["asm", "threads"], points, 8, 1,
                          metrics=["ns_per_switch"],
                          figures=[{"kind": "lines", "name": "apart", "x": "tasks",
                                    "facet": "workload"}])
    return synthetic.write(folder, made, yield_model)


def many(folder: Path) -> Path:
    """More comparisons than a page of a paper holds."""
    arms = ["asm", *(f"asm-{i:02d}" for i in range(40))]
    points = [{"workload": "yield", "axes": {"tasks": str(t)}} for t in (2, 8, 64)]
    made = synthetic.plan("many", arms, points, 8, 1, metrics=["ns_per_switch"],
                          figures=[{"kind": "forest", "name": "many"}])
    return synthetic.write(folder, made, lambda arm, point, rng, shared: {"metrics": {
        "ns_per_switch": (6 * (1 + 0.02 * arms.index(arm.removesuffix("-again")))
                          * _noise(rng, shared), "ns", "lower")}})


def ablation_model(arm, point, rng, shared):
    wait, policy = ("futex", "fifo") if arm in ("asm", "asm-again") else arm.split("-")[1:]
    if (wait, policy) == ("spin", "shared"):
        return {"status": "skipped", "reason": "cannot run here"}
    ratio = ({"futex": 1, "epoll": 1.02, "uring": 1.1, "spin": 0.9}[wait]
             * {"fifo": 1, "lifo": 0.97, "steal": 1.6, "shared": 2.4}[policy])
    return {"metrics": {"ns_per_switch": (6 * ratio * _noise(rng, shared), "ns", "lower")},
            "composition": {"switch": "asm", "wait": wait, "policy": policy}}


def ablation(folder: Path) -> Path:
    arms = ["asm"] + [f"asm-{w}-{p}" for w in ("futex", "epoll", "uring", "spin")
                      for p in ("fifo", "lifo", "steal", "shared") if (w, p) != ("futex", "fifo")]
    made = synthetic.plan("ablation", arms, [{"workload": "yield"}], 12, 1,
                          metrics=["ns_per_switch"],
                          figures=[{"kind": "heatmap", "name": "ablation", "x": "wait",
                                    "y": "policy"}])
    return synthetic.write(folder, made, ablation_model)


def runtimes(folder: Path) -> Path:
    """A metric for each workload; one arm lacks one of them."""
    costs = {"yield": ("ns_per_switch", 7.0), "ring": ("ns_per_hop", 18.0)}
    ratios = {"asm": 1, "openmp": 3, "go": 20}

    def model(arm, point, rng, shared):
        name, ns = costs[point["workload"]]
        if (arm, point["workload"]) == ("openmp", "yield"):
            return {"status": "skipped", "reason": "cannot run here"}
        value = ns * ratios[arm.removesuffix("-again")] * _noise(rng, shared)
        return {"metrics": {name: (value, "ns", "lower")}}
    made = synthetic.plan("runtimes", list(ratios), [{"workload": w} for w in costs], 12, 1,
                          metrics=[name for name, _ in costs.values()],
                          figures=[{"kind": "heatmap", "name": "runtimes", "x": "workload", "y": "arm"}])
    return synthetic.write(folder, made, model)


def scaling_model(arm, point, rng, shared):
    workers = int(point["axes"]["backend.workers"])
    loss = {"mn": 0.05, "threads": 0.3}[arm.removesuffix("-again")]
    rate = 1e7 * workers / (1 + loss * (workers - 1)) * _noise(rng, shared)
    return {"metrics": {"ops_per_s": (rate, "1/s", "higher")}}


def scaling(folder: Path) -> Path:
    points = [{"workload": "fib", "axes": {"backend.workers": str(w)}} for w in (1, 2, 4, 8)]
    made = synthetic.plan("scaling", ["mn", "threads"], points, 12, 1, metrics=["ops_per_s"],
                          figures=[{"kind": "scaling", "name": "scaling"}])
    return synthetic.write(folder, made, scaling_model)


OVERHEAD = {"asm": 40, "ucontext": 300, "asyncio": 4000}
PER_ELEMENT = 0.4


def chunk_model(arm, point, rng, shared):
    chunk = int(point["axes"]["chunk"])
    ns = chunk * PER_ELEMENT + OVERHEAD[arm.removesuffix("-again")]
    return {"metrics": {"elements_per_s": (1e9 * chunk / ns * _noise(rng, shared, 0.01, 0.0), "1/s",
                                           "higher")}}


def chunks(folder: Path) -> Path:
    points = [{"workload": "chunked_sum", "axes": {"chunk": str(2 ** i)}} for i in range(4, 20)]
    made = synthetic.plan("chunk_size", list(OVERHEAD), points, 8, 1, metrics=["elements_per_s"],
                          figures=[{"kind": "metg", "name": "metg"}])
    return synthetic.write(folder, made, chunk_model)


LOADS = (0.2, 0.4, 0.6, 0.7, 0.75, 0.85, 0.9)
MEAN_NS = 10000


def load_model(arm, point, rng, shared):
    """M/M/1 on one worker; the same with half the load on two."""
    load = float(point["axes"]["load"]) / (2 if arm == "mn" else 1)
    if arm == "threads" and load > 0.7:
        return {"status": "skipped", "reason": "invalid: the generator lagged"}
    ns = MEAN_NS / (1 - load) * _noise(rng, shared, 0.01, 0.0)
    facts, exact = {}, {}
    if arm != "threads":        # without a scheduler a half
        facts = {"exact.servers": "2" if arm == "mn" else "1", "exact.queues": "1"}
        exact = {"exact_response_mean_ns": (0.5 * MEAN_NS / (1 - load), "ns", "none")}
    return {"facts": facts,
            "metrics": {**exact, "response_mean_ns": (ns, "ns", "lower"),
                        "response_p99_ns": (ns * math.log(100), "ns", "lower")}}


def loads(folder: Path) -> Path:
    points = [{"workload": "openloop", "axes": {"load": str(v), "service": "exponential"},
               "params": {"load": str(v), "service": "exponential", "mean": str(MEAN_NS),
                          "sigma": "1"}} for v in LOADS]
    figures = [{"kind": "load", "name": "mean", "y": "response_mean_ns", "slo": "50us",
                "facet": "service", "theory": ["fcfs", "ps"]},
               {"kind": "load", "name": "plain", "y": "response_p99_ns", "theory": "fcfs"},
               {"kind": "load", "name": "exact", "y": "response_mean_ns", "theory": ["exact", "fcfs"]}]
    made = synthetic.plan("load_latency", ["asm", "mn", "threads"], points, 8, 1,
                          metrics=["response_mean_ns"], figures=figures)
    return synthetic.write(folder, made, load_model)


LAWS = ("fixed", "exponential", "bimodal")


def laws_model(arm, point, rng, shared):
    """The later a law's panel comes, the larger its values; a fifth of the runs is wild."""
    scale = 4.0 ** LAWS.index(point["axes"]["service"])
    ns = MEAN_NS * scale * _noise(rng, shared, 0.01, 0.0)
    wild = 50 if rng.random() < 0.35 else 1
    return {"metrics": {"queueing_mean_ns": (ns, "ns", "lower"),
                        "response_mean_ns": (ns, "ns", "lower"),
                        "overhead_ns": (-ns, "ns", "lower"),
                        "response_p50_ns": (MEAN_NS * wild, "ns", "lower")}}


def laws(folder: Path) -> Path:
    points = [{"workload": "openloop", "axes": {"load": v, "service": law},
               "params": {"load": v, "service": law, "mean": str(MEAN_NS), "sigma": "1"}}
              for law in LAWS for v in ("0.5", "0.9")]
    figures = [{"kind": "load", "name": "laws", "y": "response_mean_ns", "facet": "service",
                "theory": ["fcfs", "ps"]},
               {"kind": "load", "name": "two", "y": "queueing_mean_ns", "theory": "fcfs-2",
                "where": {"service": "exponential"}}]
    made = synthetic.plan("laws", ["asm"], points, 10, 1, metrics=["response_mean_ns"],
                          figures=figures)
    return synthetic.write(folder, made, laws_model)


def cost_model(arm, point, rng, shared):
    return {"metrics": {"ns_per_switch": (LADDER[arm.removesuffix("-again")]
                                          * _noise(rng, shared, 0.002), "ns", "lower")}}


def costs(folder: Path) -> Path:
    figures = [
        {"kind": "decomposition", "name": "ladder", "arms": list(LADDER)},
        {"kind": "decomposition", "name": "parts", "arms": ["asm"],
         "series": ["bare swap = bare", "FP words = fp - bare", "queue = queue - fp"]}]
    made = synthetic.plan("costs", list(LADDER), [{"workload": "yield"}], 12, 1,
                          metrics=["ns_per_switch"], figures=figures)
    return synthetic.write(folder, made, cost_model)


def tutorial(folder: Path) -> Path:
    made = synthetic.plan("tutorial", ["asm", "mn"], [{"workload": "chunked_sum"}], 2, 1,
                          figures=[{"kind": "gantt", "name": "gantt"}])
    synthetic.write(folder, made, lambda *_: {"metrics": {}})
    (folder / "traces").mkdir()
    for arm, workers in (("asm", 1), ("mn", 2)):
        trace = {"traceEvents": [*_threads(workers), *_slices(workers)]}
        (folder / "traces" / f"b0000.{arm}.json").write_text(json.dumps(trace))
    return folder


def _threads(workers: int):
    return [{"ph": "M", "name": "thread_name", "pid": 1, "tid": w,
             "args": {"name": f"worker {w}"}} for w in range(workers)]


def _slices(workers: int):
    """Two tasks, three rounds 100 ms apart; on one worker B comes after A, on two beside it."""
    for k in range(3):
        for i, task in enumerate("AB"):
            late = 0 if workers == 2 else 60 * i
            yield {"ph": "X", "cat": "task", "name": task, "pid": 1, "tid": i % workers,
                   "ts": 1e5 * k + late, "dur": 50}


EVERY = {"yields": yields, "ablation": ablation, "runtimes": runtimes, "scaling": scaling, "chunks": chunks,
         "costs": costs, "tutorial": tutorial, "loads": loads, "two_workloads": two_workloads,
         "laws": laws}
