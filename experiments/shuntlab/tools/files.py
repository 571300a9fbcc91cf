# SPDX-License-Identifier: MIT
"""Files of a campaign, which may come from a stranger.

What is read is a regular file of bounded size: a pipe would never end, and to open a device is an
act. What is written in a campaign stays in it: no symbolic link is followed, and a file appears
whole or not at all. Nothing here knows what a file means.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, Iterator

# A record of a million iterations has 45 MB, a trace of 262,144 events 40 MB. As Python's objects a
# value takes up to 80 bytes.
BYTES_MAX = 64 << 20
VALUES_MAX = 8_000_000

_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFLNK: "a symbolic link"}


class FileRefused(OSError):
    """A file that is not what belongs at its place; `strerror` says why, and what to do."""

    def __init__(self, number: int, why: str, file: Path | str):
        super().__init__(number, why, str(file))


# ---- reading ------------------------------------------------------------------------------------

def read_bytes(file: Path | str, limit: int = BYTES_MAX) -> bytes:
    """All of a regular file. FileRefused for any other kind and for one above the limit."""
    _must_be_regular(os.stat(file), file)       # before it is opened
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as it:
        now = os.fstat(it.fileno())
        _must_be_regular(now, file)
        if now.st_size > limit:
            raise FileRefused(errno.EFBIG, f"{now.st_size:,} bytes; at most {limit:,} are read",
                              file)
        return it.read(now.st_size)


def _must_be_regular(found: os.stat_result, file: Path | str) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "of an unknown kind")
        raise FileRefused(errno.EINVAL, f"not a regular file: it is {kind}; remove it", file)


def read_json(file: Path | str, limit: int = BYTES_MAX) -> Any:
    """The document in a file. ValueError says what is wrong with one that is not JSON."""
    return parse_json(read_bytes(file, limit))


def parse_json(data: bytes) -> Any:
    """JSON as every reader can rely on it: finite numbers, text that can be printed."""
    if sum(map(data.count, (b",", b"[", b"{"))) > VALUES_MAX:
        raise ValueError(f"more than {VALUES_MAX:,} values")
    try:
        made = json.loads(data.decode("utf-8"), parse_constant=_finite, parse_float=_finite)
        if b"\\u" in data:
            _must_be_text(made)
    except RecursionError:
        raise ValueError("values are nested too deeply") from None
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is not a finite number")
    return value


def _must_be_text(made: Any) -> None:
    """An escape can name half a character, which no file and no terminal takes."""
    try:
        json.dumps(made, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None


# ---- writing ------------------------------------------------------------------------------------

def own_folder(folder: Path, *names: str) -> Path:
    """A folder within `folder` to write into, made where there is none; never a link to elsewhere."""
    for name in names:
        folder = folder / name
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        must_be_folder(folder)
    return folder


def must_be_folder(folder: Path) -> None:
    """FileRefused where something else stands in a folder's place."""
    if os.path.lexists(folder) and not stat.S_ISDIR(os.lstat(folder).st_mode):
        kind = _KINDS.get(stat.S_IFMT(os.lstat(folder).st_mode), "a file")
        raise FileRefused(errno.ENOTDIR, f"{kind} where a campaign has a folder, and nothing is written "
                          "through it; put a folder in its place, or move the whole campaign", folder)


def write_whole(file: Path, data: bytes) -> None:
    """A file of a campaign, for certain: a new draft, flushed to the disk, then renamed. What stands at
    its place is replaced, be it a link."""
    draft = file.with_name(f".{file.name.lstrip('.')}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        with open(draft, "xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as e:
        _remove(draft)
        raise OSError(e.errno, e.strerror, str(file)) from None


def copy(file: Path, folder: Path, name: str = "") -> None:
    """A file of a campaign into a folder of another, with its time. A link would bring in what it leads to."""
    found = os.lstat(file)
    _must_be_regular(found, file)
    target = folder / (name or file.name)
    write_whole(target, read_bytes(file))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def append_to(file: Path, create: int = os.O_CREAT) -> int:
    """A descriptor to append to a regular file, which is made where there is none."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(file, flags | create, 0o666)
    except OSError as e:
        if e.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        _must_be_regular(os.lstat(file), file)
        raise
    try:
        _must_be_regular(os.fstat(fd), file)
        return fd
    except BaseException:
        os.close(fd)
        raise


def must_stay(file: Path, folder: Path) -> None:
    """FileRefused for an output within a campaign's folder that would lead out of it."""
    base, place = Path(os.path.abspath(folder)), Path(os.path.abspath(file))
    while base in place.parents:
        if os.path.lexists(place) and not stat.S_ISDIR(os.lstat(place).st_mode):
            _must_be_regular(os.lstat(place), place)
        place = place.parent


# ---- where the user wants it --------------------------------------------------------------------

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
