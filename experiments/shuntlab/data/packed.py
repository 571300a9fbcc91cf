# SPDX-License-Identifier: MIT
"""The records of a campaign, each a file of its own or all of them in one: records.jsonl.xz.

The packed form holds a record a line, byte for byte what its file held, in the order of the file names;
a record that is not one line with its end is there as a JSON string of its text.
Whoever reads records comes through here and does not see which form there is: a packed record has the
path that it would have as a file. Where both are there, the file counts.
"""

from __future__ import annotations

import errno
import functools
import json
import lzma
import os
from pathlib import Path
from typing import Any, Callable, Iterator

from ..tools.files import FileRefused, parse_json, read_bytes

PACK = "records.jsonl.xz"
FILE_BYTES_MAX = 1 << 30    # a campaign of 2,000 runs has 1 MB, unpacked 20 MB
BYTES_MAX = 1 << 30         # unpacked; more where the file itself is large
STEP_BYTES = 1 << 20
RATIO_MAX = 64              # by which records never shrink, and a bomb does


def record_names(folder: Path) -> list[str]:
    """The file names of a plain campaign's records, in a stable order."""
    return sorted(_names_of_files(folder).union(_pack_of(folder, _names_in)))


def record_files(folder: Path) -> list[Path]:
    """Their paths. Of a million records the paths alone have 400 MB: who needs names takes names."""
    return [folder / "records" / n for n in record_names(folder)]


def _names_of_files(folder: Path) -> set[str]:
    try:
        return {n for n in os.listdir(folder / "records") if not n.startswith(".") and n.endswith(".json")}
    except FileNotFoundError:
        return set()


def each_record(folder: Path) -> Iterator[tuple[Path, bytes | None, Any]]:
    """Every record: its path, its bytes unless they are in a file of their own, and what they parse to
    unless they do not. Of a pack never more than a few are held."""
    files, place = _names_of_files(folder), folder / "records"
    for name in sorted(files):
        yield place / name, None, None
    for name, text, parsed in _named(folder / PACK, _parsed) if (folder / PACK).exists() else ():
        if name not in files:
            yield place / name, text, parsed


def read_record(file: Path | str) -> bytes:
    """The bytes of a record."""
    file = Path(file)
    try:
        return read_bytes(file)
    except FileNotFoundError:
        found = _pack_of(file.parent.parent, _names_in).get(file.name)
        if found is None:
            raise
        return found or _pack_of(file.parent.parent, _lines_of)[file.name]


def is_packed(folder: Path) -> bool:
    return os.path.lexists(folder / PACK)


def compressed(records: list[bytes]) -> bytes:
    return compress(b"".join(map(_line, records)))


def compress(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def _line(text: bytes) -> bytes:
    """A record's text as one line: as it is, or as a JSON string where it has several lines."""
    whole = text.endswith(b"\n") and text.count(b"\n") == 1
    return text if whole else json.dumps(text.decode("utf-8"), ensure_ascii=False).encode() + b"\n"


def _text(line: bytes) -> bytes:
    return json.loads(line).encode() if line.startswith(b'"') else line


def record_name(block: str, arm: str, status: str) -> str:
    """The file name of a record: its status is in it, unless it is ok."""
    return f"{block}.{arm}.json" if status == "ok" else f"{block}.{arm}.{status}.json"


def _pack_of(folder: Path, reader: Callable[[Path, int, int], dict[str, bytes]]) -> dict[str, bytes]:
    """What a reader makes of a pack; empty without a pack."""
    file = folder / PACK
    try:
        now = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return reader(file, now.st_mtime_ns, now.st_size)


@functools.lru_cache(maxsize=2)
def _names_in(file: Path, _mtime: int, _size: int) -> dict[str, bytes]:
    """{file name: bytes} with the bytes of the records alone that are not ok, whose reasons are asked for.

    A million whole records have more than a gigabyte."""
    return {name: text if name.count(".") > 2 else b"" for name, text, _ in _named(file, lambda text: None)}


@functools.lru_cache(maxsize=2)
def _lines_of(file: Path, _mtime: int, _size: int) -> dict[str, bytes]:
    """{file name: bytes} of every record."""
    return {name: text for name, text, _ in _named(file, lambda text: None)}


def _named(file: Path, parse: Callable[[bytes], Any]) -> Iterator[tuple[str, bytes, Any]]:
    """Of each line of a pack the file name that its record has, its text, and what that parses to."""
    found: set[str] = set()
    for number, line in enumerate(lines(file), 1):
        parsed = None
        try:
            line = _text(line)
            parsed = parse(line)
            record = json.loads(line) if parsed is None else parsed
            name = record_name(record["block"], record["arm"], record["status"])
        except (ValueError, KeyError, TypeError, RecursionError):
            name = ""
        # A line that names no run, or one that is there already, is for the reader to refuse.
        if not name or name in found:
            name = f"line {number} of {PACK}"
        found.add(name)
        yield name, line, parsed


def _parsed(text: bytes) -> Any:
    """As every reader parses it; None where that is refused."""
    try:
        return parse_json(text)
    except ValueError:
        return None


def lines(file: Path) -> Iterator[bytes]:
    """The lines of a pack, of which never more than a few are unpacked at once."""
    data = memoryview(read_bytes(file, FILE_BYTES_MAX))
    reader, left = lzma.LZMADecompressor(), max(BYTES_MAX, RATIO_MAX * len(data))
    rest, fed = b"", 0
    try:
        while not reader.eof and (fed < len(data) or not reader.needs_input):
            piece = data[fed:fed + STEP_BYTES] if reader.needs_input else b""
            fed += len(piece)
            text = reader.decompress(piece, STEP_BYTES)
            left -= len(text)
            if left < 0:
                raise FileRefused(errno.EFBIG, "more bytes unpacked than records of its size can have", file)
            *whole, rest = (rest + text).split(b"\n")
            yield from (line + b"\n" for line in whole)
    except lzma.LZMAError as e:
        raise FileRefused(errno.EILSEQ, f"damaged ({e}); put it back from a copy of the campaign", file) from None
    if not reader.eof or reader.unused_data or fed < len(data):
        raise FileRefused(errno.EILSEQ, "damaged (cut off, or something follows); put it back from a copy of "
                          "the campaign", file)
    if rest:
        yield rest
