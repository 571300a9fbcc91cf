# SPDX-License-Identifier: MIT
"""From what the user typed to a campaign folder: find the experiment, freeze it, or resume.

A target is a campaign folder, a TOML file, or the name of an experiment that comes with shunt. An
experiment that has a campaign with the same plan, of whatever day, goes on with it: an unfinished one is
resumed, and one that the same builds have finished is named. A changed experiment, or another build, gets
a new folder, and the old campaign stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from ..data import packed
from ..planning import campaign, drivers, kept_plan, plan
from ..planning.experiment import Experiment, nearest
from ..planning.kept_plan import CampaignError
from ..planning.toml_spec import load
from ..tools import process
from ..tools.files import own_folder, write_whole
from ..tools.locks import Busy, Lock
from ..tools.naming import lab
from ..tools.trust import Trust


class UsageError(Exception):
    """The command line asks for something that cannot be; exit status 2."""


def experiments_folder() -> Path:
    return drivers.HERE


def results_root() -> Path:
    """$SHUNT_RESULTS, or results/ of the tree, or of the current folder where there is no tree."""
    if os.environ.get("SHUNT_RESULTS"):
        return Path(os.environ["SHUNT_RESULTS"])
    tree = drivers.HERE.parent
    if (tree / "CMakeLists.txt").is_file() and os.access(tree, os.W_OK):
        return tree / "results"
    return Path.cwd() / "results"


def shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    try:
        return os.path.relpath(path) if not os.path.relpath(path).startswith("../..") else str(path)
    except (ValueError, OSError):
        return str(path)


def is_campaign(path: Path) -> bool:
    return (path / "plan.json").is_file() or (path / "parts").is_dir()


def find_experiment(target: str) -> Path:
    """The TOML file of a target that is not a campaign."""
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"{target}: a folder, but not a campaign (no plan.json in it)")
    if path.is_file() and path.suffix == ".toml":
        return path
    if path.suffix == ".toml" or os.sep in target:
        raise UsageError(f"{target}: no such file; `{lab('new', target)}` writes a commented "
                         "template")
    inside = experiments_folder() / f"{target}.toml"
    if inside.is_file():
        return inside
    names = sorted(p.stem for p in experiments_folder().glob("*.toml"))
    raise UsageError(f"no experiment {target!r}{nearest(target, names)}"
                     f" (there are {', '.join(names) or 'none'}; or give a .toml file)")


def freeze(e: Experiment, shunt: str, cpus: str, trust: Trust | None = None,
           consent: Trust | None = None) -> plan.Frozen:
    """Without `trust` for a look: no program that the experiment brings is started, and a plug-in is loaded
    with `consent` alone."""
    wanted = {a.driver for a in e.arms} | {"shunt"}
    found = drivers.find(wanted, e.drivers, shunt, trust, e.plugins, consent)
    return plan.freeze(e, found, len(resolve_cpus(typed_cpus(cpus) or e.cpus)))


def typed_cpus(text: str) -> str:
    """--cpus is always a list (a bare 1 is CPU 1, not one CPU), or all."""
    return text if text in ("", "all") else f"list {text}"


def resolve_cpus(request: str) -> list[int]:
    """The CPUs that every run is confined to: `all`, a number, or `list 0,2-3`."""
    allowed = process.allowed_cpus()
    if request in ("", "all"):
        return allowed
    if request.isdigit():
        if int(request) > len(allowed) or int(request) == 0:
            raise UsageError(f"{request} CPUs are asked for; this process may use {len(allowed)}")
        return allowed[:int(request)]
    try:
        wanted = process.parse_cpus(request.removeprefix("list "))
    except ValueError:
        raise UsageError(f"{request.removeprefix('list ')!r} is not a list of CPUs; write 0,2-3") from None
    missing = sorted(set(wanted) - set(allowed))
    if missing:
        raise UsageError(f"CPU {process.show_cpus(missing)} is asked for; this process may use "
                         f"{process.show_cpus(allowed)} (see taskset, cgroups); --cpus changes it")
    return wanted


def create(e: Experiment, frozen: plan.Frozen, out: str) -> tuple[Path, str]:
    """The campaign folder of a plan, made or found, and what there is to say about it."""
    if out:
        return _create_at(Path(out), e, frozen)
    root = results_root()
    same = [p for p in _campaigns_of(root, e.name) if _plan_id(p) == frozen.plan["plan_id"]]
    unfinished = [p for p in same if not is_finished(p)]
    if unfinished:
        return unfinished[-1], "resuming"
    complete = [p for p in same if kept_plan.load_plan(p)["drivers"] == frozen.plan["drivers"]]
    if complete:
        return complete[-1], "complete"
    today = root / f"{e.name}-{time.strftime('%Y-%m-%d')}"
    folder, number = today, 1
    while folder.exists() and not is_half_made(folder):
        number += 1
        folder = root / f"{e.name}-{time.strftime('%Y-%m-%d')}-{number}"
    said = f"another build made {shown(same[-1])}; this is a new campaign" if same else \
        "new" if number == 1 else f"the experiment changed since {shown(today)} was frozen; " \
                                  "that campaign stays as it is, and this is a new one"
    write(folder, e, frozen)
    return folder, said


def create_new(e: Experiment, frozen: plan.Frozen) -> tuple[Path, str]:
    """A new campaign even where an equal one exists."""
    folder = campaign.free_name(results_root(), f"{e.name}-{time.strftime('%Y-%m-%d')}")
    write(folder, e, frozen)
    return folder, "new"


def _create_at(folder: Path, e: Experiment, frozen: plan.Frozen) -> tuple[Path, str]:
    if is_campaign(folder):
        if kept_plan.load_plan(folder)["plan_id"] != frozen.plan["plan_id"]:
            raise CampaignError(
                f"{folder}: holds a campaign of another plan ({e.file} or this machine changed "
                f"since it was frozen). Finish that one as it is with `{lab('run', folder)}`, "
                "or give another --out")
        return folder, "complete" if is_finished(folder) else "resuming"
    if folder.exists() and not is_half_made(folder):
        raise UsageError(f"{folder}: exists and is not a campaign; give a new or empty folder")
    write(folder, e, frozen)
    return folder, "new"


def is_half_made(folder: Path) -> bool:
    """An empty folder, or what is left where a full disk or a kill ended write() early."""
    if not folder.is_dir() or is_campaign(folder):
        return False
    names = {p.name for p in folder.iterdir()}
    begun = {n for n in names if n in ("experiment.toml", "records", "locks") or n.startswith(".plan.")}
    return names == begun and not campaign.record_files(folder)


def write(folder: Path, e: Experiment, frozen: plan.Frozen) -> None:
    """Write a plan; the folder becomes a campaign at the last step."""
    folder.mkdir(parents=True, exist_ok=True)
    own_folder(folder, "records", "env")
    plan_file = folder / "plan.json"
    try:
        with Lock(own_folder(folder, "locks"), "plan"):
            if os.path.lexists(plan_file):
                raise Busy
            write_whole(folder / "experiment.toml", e.text.encode("utf-8"))
            kept_plan.write_plan(plan_file, frozen.plan)
    except Busy:
        raise CampaignError(f"{folder}: another lab has just planned here; run again") from None


def is_finished(folder: Path) -> bool:
    the_plan = kept_plan.load_plan(folder)
    done = campaign.done_runs(folder)
    return all(campaign.is_done(done.get((b["id"], arm))) for b in the_plan["blocks"] for arm in b["order"])


def _campaigns_of(root: Path, name: str) -> list[Path]:
    found = [p for p in root.glob(f"{name}-[0-9]*") if (p / "plan.json").is_file()]
    return sorted(found, key=lambda p: (p / "plan.json").stat().st_mtime)


def _plan_id(folder: Path) -> str:
    try:
        return kept_plan.load_plan(folder)["plan_id"]
    except CampaignError:
        return ""


def open_target(target: str, shunt: str, cpus: str, out: str, new: bool, trust: Trust
                ) -> tuple[Path, list[str]]:
    """A campaign folder for a target, and lines for the user."""
    path = Path(target)
    if is_campaign(path):
        if out:
            raise UsageError(f"{target} is a campaign already; --out is for a new one")
        return path, []
    e = load(find_experiment(target))
    frozen = freeze(e, shunt, cpus, trust)
    folder, said = create_new(e, frozen) if new and not out else create(e, frozen, out)
    lines = list(frozen.notes)
    if said in ("resuming", "complete"):
        lines += take_figures(folder, e, frozen)
    if said == "complete":
        lines.append(f"{shown(folder)} has every run of this plan already; --new makes them again")
    elif said != "new":
        lines.append(said)
    return folder, lines


def take_figures(folder: Path, e: Experiment, frozen: plan.Frozen) -> list[str]:
    """What the file says anew about the same runs. Figures only show, so the campaign takes them; what
    was expected, and by what rules it is judged, stays as it was before the runs. Lines for the user."""
    was, now = kept_plan.load_plan(folder), json.loads(json.dumps(frozen.plan))
    lines = []
    if kept_plan.figures_id(was["figures"]) != kept_plan.figures_id(now["figures"]):
        kept_plan.write_plan(folder / "plan.json", {**was, "figures": now["figures"]})
        lines.append(f"{shown(folder)} has the figures of {e.file} now")
    kept = [k for k in ("expect", "metrics", "margin", "alpha") if _said(was[k]) != _said(now[k])]
    if kept:
        lines.append(f"{e.file}: {', '.join(kept)} changed since the plan was frozen; "
                     f"{shown(folder)} keeps what it was asked then (--new asks anew)")
    return lines


def _said(part: Any) -> Any:
    """Without the numbers of lines, which any edit moves."""
    return [{k: v for k, v in t.items() if k != "line"} if isinstance(t, dict) else t for t in part] \
        if isinstance(part, list) else part


def must_take_runs(folder: Path) -> None:
    """UsageError for a campaign that no run can be added to."""
    if (folder / "parts").is_dir():
        raise UsageError(f"{folder} is a merged campaign: run its parts, then merge again")
    if packed.is_packed(folder):
        raise UsageError(f"{folder} is packed, so it is finished; `{lab('pack', '--undo', folder)}` makes "
                         "files of its records, and then runs can be added or made again")


APPEARS_S = 60.0        # that a network file system may hide a new file from another machine


def await_campaign(folder: Path) -> None:
    """Return once a campaign is there: made on another machine, it may be hidden here for seconds."""
    end = time.monotonic() + APPEARS_S
    while not is_campaign(folder) and time.monotonic() < end:
        time.sleep(1)
        with contextlib.suppress(OSError):
            os.listdir(folder)      # a listing drops what the client remembers to be absent


def describe(the_plan: dict[str, Any]) -> str:
    """A plan in one line."""
    runs = sum(len(b["order"]) for b in the_plan["blocks"])
    arms = len({a for p in the_plan["points"] for a in p["arms"]})
    return (f"{the_plan['experiment']['name']}: {len(the_plan['points'])} point"
            f"{'s' * (len(the_plan['points']) != 1)} × {arms} arm{'s' * (arms != 1)} × "
            f"{the_plan['repetitions']} repetition{'s' * (the_plan['repetitions'] != 1)} = "
            f"{runs} runs in {len(the_plan['blocks'])} blocks")
