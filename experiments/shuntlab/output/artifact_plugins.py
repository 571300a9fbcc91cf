# SPDX-License-Identifier: MIT
"""The plug-ins of a campaign, for its artifact: the very file that was loaded, and its source where that is known.

A campaign takes a plug-in from its own folder plugins/ before it looks where the plan says (planning/drivers.py).
So the file lies there in the artifact, and whoever repeats a claim loads what the records were made with. The
source is the commit that is checked out in the git repository which the file lies in, as a build folder does.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

from ..planning.drivers import OWN, with_own_plugins
from ..tools.files import read_bytes
from ..tools.git import commit_of, git
from ..tools.trust import Refused, Trust


@dataclasses.dataclass
class PlugIn:
    at: str                 # its place in the artifact
    build_id: str
    data: bytes
    source: str             # the place of its source there; empty: not known
    clone: Path | None      # where that source is to be had, unless it is there as shunt's own
    commit: str


def bundled(folder: Path, plan: dict[str, Any], place: str, shunt: Path, trust: Trust) -> list[PlugIn]:
    """The plug-ins of one campaign. Refused where a file is not the one that the plan was frozen with."""
    found: dict[str, PlugIn] = {}
    for row in with_own_plugins(folder, plan).get("plugins", []):
        file = Path(row["file"])
        if file.name in found:
            raise Refused(f"{folder}: two plug-ins are named {file.name}, and an artifact holds each under its name; "
                          "rename one and run again")
        found[file.name] = _taken(file, row["build_id"], f"{place}/{OWN}/{file.name}", shunt, trust)
    return list(found.values())


def _taken(file: Path, build_id: str, at: str, shunt: Path, trust: Trust) -> PlugIn:
    remedy = f"put back what the plan was frozen with (build-id {build_id[:12]}), or run again with this one"
    if not file.is_file():
        raise Refused(f"{file}: no such plug-in, and the artifact would be without it; {remedy}")
    if (now := _build_id(file)) != build_id:
        raise Refused(f"{file}: the plug-in has build-id {now[:12] or 'none'}; {remedy}")
    top = git(file.parent, "rev-parse", "--show-toplevel").stdout.strip()
    if not top or Path(top) == shunt.resolve():
        return PlugIn(at, build_id, read_bytes(file), "source" if top else "", None, "")
    clone = Path(top)
    trust.ask(clone.name, ["git", "-C", top, "status"], "repository", "a folder whose settings of git may start "
              "programs, and one")
    commit = commit_of(clone, f"what {file.name} was built from")
    return PlugIn(at, build_id, read_bytes(file), f"{OWN}/{clone.name}-{commit[:8]}", clone, commit)


def _build_id(file: Path) -> str:
    try:
        said = subprocess.run(["readelf", "--notes", "--", str(file)], capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        raise Refused("no readelf here, which tells the build-id of a plug-in: apt-get install binutils") from None
    found = re.search(r"Build ID: ([0-9a-f]+)", said.stdout)
    return found[1] if found else ""
