# SPDX-License-Identifier: MIT
"""A file is written whole or not at all, and an error names the file that was asked for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """The path of a draft beside `file`, which takes its place when the block ends well."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(file)
    except OSError as e:
        if e.filename not in (None, str(draft)):
            raise
        raise OSError(e.errno, e.strerror, str(file)) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
