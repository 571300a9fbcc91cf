# SPDX-License-Identifier: MIT
"""A file is written whole or not at all, and an error names the file that was asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """The path of a draft, which becomes the content of `file` when the block ends well.

    A regular file, also one behind symlinks, is replaced in one step and keeps its mode. A device, a
    pipe or an open descriptor (/dev/stdout) is written into.
    """
    written_into = _is_written_into(file)
    target = Path(os.path.realpath(file))
    with contextlib.ExitStack() as at_end:
        folder = at_end.enter_context(tempfile.TemporaryDirectory()) if written_into else target.parent
        draft = Path(folder, f".{file.name}.{os.getpid()}")
        at_end.callback(_remove, draft)
        try:
            yield draft
            if written_into:
                with open(draft, "rb") as whole, open(file, "wb") as out:
                    shutil.copyfileobj(whole, out)
            else:
                _take_mode(target, draft)
                draft.replace(target)
        except OSError as e:
            if e.filename not in (None, str(draft)):
                raise
            raise OSError(e.errno, e.strerror, str(file)) from None


def _is_written_into(file: Path) -> bool:
    """Whether `file` has a content of its own kind: no regular file, or a name for an open one."""
    try:
        regular = stat.S_ISREG(os.stat(file).st_mode)
    except FileNotFoundError:
        return False
    return not regular or os.path.abspath(file).startswith(("/dev/", "/proc/"))


def _take_mode(target: Path, draft: Path) -> None:
    """The mode of the file that is replaced, which must be one that may be written to."""
    if target.exists():
        os.close(os.open(target, os.O_WRONLY))
        shutil.copymode(target, draft)


def _remove(draft: Path) -> None:
    with contextlib.suppress(OSError):
        draft.unlink()
