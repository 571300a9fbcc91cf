# SPDX-License-Identifier: MIT
"""Git, asked for the source of a commit."""

from __future__ import annotations

import errno
import subprocess
import tarfile
from pathlib import Path
from typing import Iterator

from .trust import Refused


def git(folder: Path, *words: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(["git", "-C", str(folder), "--no-optional-locks", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise Refused("no git here, which knows the source of a commit: apt-get install git") from None


def commit_of(clone: Path, made: str) -> str:
    """The commit that is checked out; Refused where files differ from it. `made` says what came of them."""
    changed = git(clone, "status", "--porcelain").stdout.splitlines()
    if changed:
        more = f", and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise Refused(f"{clone}: {made} is in no commit; commit, stash or ignore "
                      f"{', '.join(line[3:] for line in changed[:5])}{more}")
    head = git(clone, "rev-parse", "HEAD")
    if head.returncode:
        raise Refused(f"{clone}: it has no commit yet; {made} is in none")
    return head.stdout.strip()


def files_of(clone: Path, commit: str) -> Iterator[tuple[str, bytes, int]]:
    """Name, content and mode of every file of a commit."""
    words = ["git", "-C", str(clone), "archive", "--format=tar", commit]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as archive:
        with tarfile.open(fileobj=archive.stdout, mode="r|") as tar:
            for member in tar:
                if member.isfile():
                    yield member.name, tar.extractfile(member).read(), member.mode & 0o755
    if archive.returncode:
        raise OSError(errno.EIO, f"git archive {commit[:12]} failed, see above")
