# SPDX-License-Identifier: MIT
"""A real Slurm on this machine, for tests: a controller and nodes on loopback, all of its state in one folder.

Each node has a host name, a boot id, processes and a scratch disk of its own (namespaces), so that killing it
is what a power cut is, and so that the lab takes two nodes for two machines. It tests what happens, never how
fast: the nodes share this machine's processors."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "unshare", "setpriv")

CONF = """ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/ctld.pid
SlurmdPidFile={root}/%n.pid
SlurmctldLogFile={root}/log/ctld
SlurmdLogFile={root}/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,default_queue_depth=1000
SelectType=select/linear
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=5
KillWait=5
MinJobAge=10
MaxArraySize={array}
PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=closed Nodes=ALL DisableRootJobs=YES State=UP
"""


def why_not() -> str:
    """Why no cluster can be had here, or an empty text."""
    absent = [p for p in PROGRAMS if not shutil.which(p, path=PATH)]
    if absent:
        return f"Slurm is not installed: no {absent[0]} (Debian: apt-get install slurmctld slurmd slurm-client)"
    tried = subprocess.run([*NODE, "true"], capture_output=True, text=True)
    return f"no namespaces for the nodes: {tried.stderr.strip()}" if tried.returncode else ""


MORTAL = ["setpriv", "--pdeathsig", "KILL"]      # with the test, however that ends
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NODE = ["unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Cluster:
    def __init__(self, root: Path, nodes: tuple[str, ...] = ("n1", "n2"), array: int = 4):
        self.root, self.nodes = root, nodes
        self.running: dict[str, subprocess.Popen] = {}
        for name in ("state", "log", "scratch", *(f"spool-{n}" for n in nodes)):
            (root / name).mkdir(parents=True)
        self.conf = root / "slurm.conf"
        lines = [f"NodeName={n} NodeHostname=localhost NodeAddr=127.0.0.1 Port={free_port()} CPUs=1" for n in nodes]
        self.conf.write_text(CONF.format(root=root, port=free_port(), array=array).replace(
            "PartitionName", "\n".join([*lines, "PartitionName"]), 1).replace("Nodes=ALL", f"Nodes={','.join(nodes)}"))
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": PATH}

    def __enter__(self) -> "Cluster":
        try:
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
            idle = ("sinfo", "-h", "-p", "p", "-t", "idle", "-o", "%D")
            self.until(lambda: self.ask(*idle).strip() == str(len(self.nodes)), "idle nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.running):
            self.kill(name)

    def start_controller(self) -> None:
        self._start("ctld", ["slurmctld", "-D", "-f", str(self.conf)])

    def stop_controller(self) -> None:
        """As a service ends, with its state saved: killed, it forgets a job of the last seconds."""
        child = self.running.pop("ctld")
        child.terminate()
        child.wait()

    def start_node(self, node: str, scratch: str = "64m") -> None:
        boot = self.root / f"boot-{node}"
        boot.write_text(f"{uuid.uuid4()}\n")
        self._start(node, [*NODE, "sh", "-c", 'hostname "$1"; mount --bind "$2" /proc/sys/kernel/random/boot_id; '
                           'mount -t tmpfs -o "size=$3" none "$4"; exec slurmd -D -N "$1" -f "$5"', "sh", node,
                           str(boot), scratch, str(self.root / "scratch"), str(self.conf)])

    def restart_node(self, node: str, scratch: str = "64m") -> None:
        """After a power cut, if it did not have one yet; returns when the controller gives it jobs."""
        if node in self.running:
            self.kill(node)
        self.start_node(node, scratch)
        self.until(lambda: self.ask("sinfo", "-h", "-p", "p", "-n", node, "-t", "idle", "-o", "%D").strip(), node)

    def _start(self, name: str, command: list[str]) -> None:
        log = open(self.root / "log" / f"{name}.out", "ab")
        with log:
            self.running[name] = subprocess.Popen([*MORTAL, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                  env=self.environment, start_new_session=True)

    def kill(self, name: str) -> None:
        """At once and with everything that runs on it."""
        child = self.running.pop(name)
        os.killpg(child.pid, signal.SIGKILL)      # unshare's child is init of the node's processes: they go, too
        child.wait()

    def ask(self, *words: str) -> str:
        return subprocess.run(words, capture_output=True, text=True, env=self.environment, timeout=60).stdout

    def until(self, test, what: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not test():
            if time.monotonic() > end:
                raise AssertionError(f"waited for {what}:\n{self.ask('squeue')}{self.ask('sinfo', '-R')}{self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        return "".join(f"--- {f.name}\n{f.read_text()[-2000:]}\n" for f in sorted((self.root / "log").iterdir()))
