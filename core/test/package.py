#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the Debian package is built, names what it depends on, works once dpkg has unpacked it, and
leaves nothing behind when dpkg removes it. The system of whoever runs this is not touched.

package.py BUILD CPACK"""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def said(*words: str | Path) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, cwd="/",
                          env={**os.environ, "NO_COLOR": "1"})
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def dpkg(root: Path, *words: str | Path) -> str:
    # Its dependencies are this machine's, which the empty system there does not know of. Its scripts call
    # ldconfig, which is not to look at this machine.
    os.environ["PATH"] = f"{root.parent}/bin:{os.environ['PATH']}"
    return said("dpkg", f"--root={root}", f"--log={root}/log", "--force-not-root", "--force-depends",
                "--force-script-chrootless", *words)


#: What the plug-in of each other runtime needs beside shunt itself.
RUNTIMES = {"boost-fiber": "libboost-fiber", "tbb": "libtbb12", "openmp": "libgomp1"}


def try_runtimes(shunt: Path, built: list[str], needs: str) -> None:
    """Each that was built is in the package, works where it was unpacked, and is depended on."""
    for name in set(built) & set(RUNTIMES):
        assert RUNTIMES[name] in needs, (name, needs)
        assert f"spawn_join on {name}: ok" in said(shunt, "run", name, "spawn_join", "tasks=100", "--iters", "1")


def main(build: str, cpack: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, made = Path(folder, "root"), Path(folder, "made")
        for place in ("info", "updates"):
            (root / "var/lib/dpkg" / place).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        ldconfig = Path(folder, "bin", "ldconfig")
        ldconfig.parent.mkdir()
        ldconfig.write_text("#!/bin/sh\n")
        ldconfig.chmod(0o755)
        before = set(root.rglob("*"))
        said(cpack, "--config", f"{build}/CPackConfig.cmake", "-B", made)
        package, = made.glob("*.deb")
        needs = said("dpkg-deb", "--field", package, "Depends")
        assert "libc6" in needs and "libjansson4" in needs, needs
        dpkg(root, "--install", package)
        shunt = root / "usr/bin/shunt"
        assert "yield on asm: ok" in said(shunt, "run", "asm", "yield", "switches=1k", "--iters", "1")
        assert "yield" in said(shunt, "lab", "list")
        try_runtimes(shunt, [p.stem for p in Path(build, "plugins").glob("*.so")], needs)
        dpkg(root, "--remove", "shunt")
        left = [p for p in set(root.rglob("*")) - before
                if not p.is_dir() and not p.is_relative_to(root / "var") and p.name != "log"]
        assert not left and not shunt.exists(), left


if __name__ == "__main__":
    main(*sys.argv[1:])
