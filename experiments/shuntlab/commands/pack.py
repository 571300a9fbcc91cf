# SPDX-License-Identifier: MIT
"""`lab pack`: the records of a finished campaign in one compressed file, and its journals; or in files again.

What is packed is read back before a file is removed, and no reader tells the forms apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..data import packed
from ..planning import campaign, journal
from ..planning.kept_plan import Damaged
from ..running.opening import UsageError, is_finished
from ..running.runner import Refused
from ..tools.files import own_folder, read_bytes, write_whole
from ..tools.locks import Busy, Lock
from ..tools.naming import lab


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "pack", help="keep a finished campaign's records in one compressed file",
        description=f"Put the records of a finished campaign into {packed.PACK}, a line each. Every command "
                    "reads both forms; `lab run` needs the files, which --undo puts back byte for byte.")
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path)
    p.add_argument("--undo", action="store_true", help="make files of the packed records again")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    loaded = campaign.load_campaign(args.campaign)
    for part in loaded.parts or [loaded]:
        try:
            with Lock(own_folder(part.path, "locks"), "plan"):
                print(_unpack(part.path) if args.undo else _pack(part))
        except Busy as e:
            raise Refused(f"{part.path}: another lab is at work here ({e}); wait for it") from None
    return 0


def _pack(part: campaign.Campaign) -> str:
    folder = part.path
    if part.problems:
        raise Damaged(f"{folder}: damaged; `{lab('verify', folder)}` says what, and only a sound "
                            "campaign is packed")
    if not is_finished(folder):
        raise UsageError(f"{folder}: it still lacks runs; `{lab('run', folder)}` makes them, then pack it")
    files = packed.record_files(folder)
    records = [packed.read_record(f) for f in files]
    write_whole(folder / packed.PACK, packed.compressed(records))
    loose = [f for f in files if f.is_file()]
    for file in loose:
        file.rename(file.with_name(f".{file.name}"))        # so that it is the pack that is read now
    for file, text in zip(files, records):
        if packed.read_record(file) != text:
            raise Damaged(f"{file}: not read back as it was; it is kept as .{file.name}")
    for file in loose:
        file.with_name(f".{file.name}").unlink()
    for file in journal.files(folder):
        _pack_journal(file)
    return f"{len(records)} records are in {folder / packed.PACK}"


def _pack_journal(file: Path) -> None:
    if file.suffix == ".xz":
        return
    text, made = read_bytes(file, journal.BYTES_MAX), file.with_name(f"{file.name}.xz")
    write_whole(made, packed.compress(text))
    if b"".join(packed.lines(made)) != text:
        raise Damaged(f"{made}: not read back as it was; {file.name} is kept")
    file.unlink()


def _unpack(folder: Path) -> str:
    if not packed.is_packed(folder):
        raise UsageError(f"{folder}: not packed")
    files = packed.record_files(folder)
    for file in files:
        if not file.exists():
            write_whole(file, packed.read_record(file))
    (folder / packed.PACK).unlink()
    for file in journal.files(folder):
        if file.suffix == ".xz":
            write_whole(file.with_suffix(""), b"".join(packed.lines(file)))
            file.unlink()
    return f"{len(files)} records are files in {folder / 'records'}"
