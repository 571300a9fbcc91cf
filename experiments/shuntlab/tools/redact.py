# SPDX-License-Identifier: MIT
"""Redaction: host names, user names and absolute paths out of what a campaign keeps.

The rules are those of core/measure/environment_redact.c, so that a campaign reads the same whoever
wrote a record of it: a name is replaced where it stands as a whole word; a path begins with a slash
that follows no letter, digit or `<` and ends at white space, a quote or a delimiter.
"""

from __future__ import annotations

import getpass
import os
import re
from typing import Any

_PATH = re.compile(r"(?<![A-Za-z0-9<_.])/(?=[A-Za-z0-9._-])[^ \t\n\"'<>;,|]*")
_TELLS_NOTHING = ("root", "localhost", "")


def _names() -> dict[str, str]:
    host = os.uname().nodename
    found = {host: "<host>", host.partition(".")[0]: "<host>"}
    try:
        found.setdefault(getpass.getuser(), "<user>")
    except (KeyError, OSError):
        pass
    for variable in ("USER", "SUDO_USER"):
        found.setdefault(os.environ.get(variable, ""), "<user>")
    return {name: instead for name, instead in found.items() if name not in _TELLS_NOTHING}


def redacted(value: Any) -> Any:
    """The same value with every text in it redacted."""
    if isinstance(value, dict):
        return {k: redacted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(v) for v in value]
    if not isinstance(value, str):
        return value
    names = _names()
    text = _PATH.sub("<path>", value)
    if names:
        words = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
        text = re.sub(rf"(?<![\w-])({words})(?![\w-])", lambda m: names[m[1]], text)
    return text


# The parts of a record that can hold a name or a path of the machine.
PARTS = ("argv", "reason", "facts", "caveats", "checks")


def redact_record(record: dict[str, Any]) -> None:
    for part in PARTS:
        if part in record:
            record[part] = redacted(record[part])
    record["identity"]["params"] = redacted(record["identity"]["params"])
