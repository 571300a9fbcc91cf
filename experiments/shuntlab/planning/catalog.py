# SPDX-License-Identifier: MIT
"""What a shunt executable can do, asked of it once, to check an experiment before it runs.

A name that nobody knows is a mistake in the file. A name that is known but not built, or that cannot
run on this machine, is no mistake: the same experiment runs where it can.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Sequence
from typing import Any

from ..tools import units
from .experiment import nearest


@dataclasses.dataclass(frozen=True)
class Fault:
    text: str
    missing_here: bool      # known, but not available on this machine


# The slots of a composition and the kind `shunt list` sorts their mechanisms under.
KINDS = {"switch": "switches", "wait": "waits", "timers": "timers", "policy": "policies",
         "place": "places", "io": "ios"}


class Catalog:
    """The names of one executable.

    `lists` is {kind: {name: reason it is not here, or ""}}, `settings` what every composition has
    besides its slots ({"workers": {"type": "count", …}}), `tables` the parameters of each plug-in
    ({("workloads", "yield"): {"tasks": {"type": "count", …}}}), `costs` the metric of an operation of
    each workload.
    """

    def __init__(self, program: str, lists: dict[str, dict[str, str]],
                 settings: dict[str, dict[str, Any]] | None = None,
                 tables: dict[tuple[str, str], dict[str, dict[str, Any]]] | None = None,
                 costs: dict[str, str] | None = None, plugins: Sequence[str] = ()):
        self.options = [f"--plugin={file}" for file in plugins]
        self.plugins: dict[str, dict[str, Any]] = {}    # what shunt says of each file
        self.program, self.lists, self.settings = program, lists, settings or {}
        self.tables, self.costs = tables or {}, costs or {}
        self._judged: dict[str, str] = {}

    def values_of(self, slot: str) -> list[str]:
        """What can run in a slot on this machine."""
        return [n for n, why in self.lists.get(KINDS.get(slot, ""), {}).items() if not why]

    def check_backend(self, spec: str) -> list[Fault]:
        base, _, rest = spec.partition(":")
        faults = self._check_name("backends", "backend", base)
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if not equals:
                faults.append(Fault(f"{part!r} in {spec!r} is not key=value", False))
            elif key in KINDS:
                faults += self._check_name(KINDS[key], key, value.partition("+")[0])
            elif self.check_slot(key):
                faults.append(Fault(self.check_slot(key), False))
        return faults

    def check_slot(self, key: str) -> str:
        """Why `key` is no key of a backend spec, or an empty text. slot.parameter is the driver's
        own to judge: which parameters there are depends on the mechanism chosen."""
        slot = key.partition(".")[0]
        names = [*KINDS, *dict.fromkeys(n.partition(".")[0] for n in self.settings)]
        if not self.settings or slot in names:
            return ""
        return f"no slot {slot!r}{nearest(slot, names)} (there are {', '.join(names)})"

    def _check_name(self, kind: str, noun: str, name: str) -> list[Fault]:
        known = self.lists.get(kind)
        if not known:
            return []
        if name not in known:
            return [Fault(f"no {noun} {name!r}{nearest(name, known)}"
                          f" (there are {', '.join(sorted(known))})", False)]
        return [Fault(f"{noun} {name}: {known[name]}", True)] if known[name] else []

    def check_workload(self, name: str, params: dict[str, list[str]]) -> list[tuple[str, str]]:
        """[(parameter or "", what is wrong)] of a workload's name and parameters' names."""
        known = self.lists.get("workloads")
        if known and name not in known:
            return [("", f"no workload {name!r}{nearest(name, known)}"
                         f" (there are {', '.join(sorted(known))})")]
        table = self._params_of(name)
        if table is None:
            return []
        return [(key, f"{name} has no parameter {key!r}{nearest(key, table)}"
                      f" (it has {', '.join(table) or 'none'})")
                for key in params if key not in table]

    def check_value(self, workload: str, key: str, text: str) -> str:
        """Why a parameter cannot have this value, or an empty text."""
        return _wrong_value((self._params_of(workload) or {}).get(key) or {}, key, text)

    def judge_spec(self, spec: str) -> str:
        """Why the program refuses a spec as a mistake, or an empty text: it alone knows the settings
        of a mechanism and what their values may be."""
        if ":" not in spec:
            return ""
        if spec not in self._judged:
            self._judged[spec] = _refusal([self.program, "describe", spec, "--json", *self.options])
        return self._judged[spec]

    def params(self, workload: str) -> list[str]:
        """The names of a workload's parameters."""
        return list(self._params_of(workload) or {})

    def cost_of(self, workload: str) -> str:
        """The name of its metric of time an operation."""
        return self.costs.get(workload, "")

    def kind_of_param(self, workload: str, key: str) -> str:
        return str(((self._params_of(workload) or {}).get(key) or {}).get("type", ""))

    def kind_of_slot(self, key: str) -> str:
        """The type of a setting: of every composition, or of a mechanism that can be in its slot."""
        return self.slot_kinds().get(key, "")

    def slot_kinds(self) -> dict[str, str]:
        """{setting: type} of every composition and of every mechanism."""
        tables = [self.tables.get((kind, name), {}) for kind in KINDS.values()
                  for name in self.lists.get(kind, {})]
        return {key: str(row.get("type", "")) for t in [*tables, self.settings] for key, row in t.items()}

    def _params_of(self, workload: str) -> dict[str, dict[str, Any]] | None:
        return self.tables.get(("workloads", workload))


def read_catalog(program: str, plugins: Sequence[str] = ()) -> Catalog | None:
    said = _ask_json([program, "list", "--json", *(f"--plugin={file}" for file in plugins)])
    if not isinstance(said, dict):
        return None
    known = {kind: entries for kind, entries in said.items() if isinstance(entries, list)
             and all(isinstance(e, dict) and "name" in e for e in entries)}
    lists = {kind: {e["name"]: _why_absent(e) for e in entries} for kind, entries in known.items()}
    tables = {(kind, e["name"]): table for kind, entries in known.items() for e in entries
              if (table := _param_table(e, "parameters")) is not None}
    costs = {e["name"]: str(e.get("cost_metric", "")) for e in known.get("workloads", [])}
    spec = _ask_json([program, "describe", "spec", "--json"])
    catalog = Catalog(program, lists, _param_table(spec, "settings"), tables, costs, plugins)
    catalog.plugins = {p["file"]: p for p in said.get("plug-ins", [])}
    return catalog


def _why_absent(entry: dict[str, Any]) -> str:
    if entry.get("built", True) and entry.get("available", True):
        return ""
    word = "cannot run here" if entry.get("built", True) else "not built"
    return f"{word}: {entry['why']}" if entry.get("why") else word


def _param_table(said: Any, key: str) -> dict[str, dict[str, Any]] | None:
    rows = said.get(key) if isinstance(said, dict) else None
    if not isinstance(rows, list):
        return None
    return {row["name"]: row for row in rows if isinstance(row, dict) and "name" in row}


_READERS = {"count": units.count, "duration": units.duration_ns, "size": units.size}
_EXAMPLES = {"count": "1000, 10k or 1M", "duration": "50us, 10ms or 2s", "size": "4096, 64k or 1M"}


def _wrong_value(row: dict[str, Any], key: str, text: str) -> str:
    """A value against its row of `shunt describe`; what has no number and no choices is not judged."""
    choices, kind = row.get("choices"), row.get("type", "")
    if choices and text not in choices:
        return f"{key} = {text!r}: expected {', '.join(choices)}{nearest(text, choices)}"
    if kind not in _READERS or text == row.get("default") == "auto":
        return ""
    number = _READERS[kind](text)
    if number is None:
        return f"{key} = {text!r} is no {kind} such as {_EXAMPLES[kind]}"
    least, most = row.get("min", number), row.get("max", number)
    if not least <= number <= most:
        unit = " ns" if kind == "duration" else " bytes" if kind == "size" else ""
        return f"{key} = {text!r} is out of range: {least} to {most}{unit}"
    return ""


def _refusal(command: list[str]) -> str:
    """What a program says that ends with 2, a usage error; any other end is not a refusal."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
        return str(json.loads(done.stdout)["error"]["message"]) if done.returncode == 2 else ""
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return ""


def _ask_json(command: list[str]) -> Any:
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=20,
                              check=True)
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
