# SPDX-License-Identifier: MIT
"""How the lab was called, so that the commands it recommends can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil


def program_name() -> str:
    """`experiments/lab` says so in $SHUNT_LAB_NAME; `shunt lab` sets $SHUNT to its own path."""
    shunt = os.environ.get("SHUNT", "")
    if shunt:
        on_path = shutil.which("shunt")
        same = on_path and os.path.realpath(on_path) == os.path.realpath(shunt)
        return f"{'shunt' if same else shlex.quote(_short(shunt))} lab"
    return shlex.quote(_short(os.environ.get("SHUNT_LAB_NAME", "lab")))


def _short(path: str) -> str:
    if not os.path.isabs(path):
        return path
    try:
        near = os.path.relpath(path)
    except OSError:         # the current folder is gone
        return path
    return near if not near.startswith("../..") and os.sep in near else path


def lab(*words: object) -> str:
    """A command line of the lab, as a shell wants it."""
    return f"{program_name()} {shlex.join(map(str, words))}"
