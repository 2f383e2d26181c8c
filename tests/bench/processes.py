"""Starts what the benches need, each pinned to its cores, and reads what it costs from /proc.

A server is all processes of one session. Only what was started here is ended, by its id; nothing that is measured has
anything to save, so it is killed.
"""

import atexit
import os
import random
import resource
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

Cores = frozenset[int]


class Failed(Exception):
    """Something did not do its part, so there is no number."""


class Skipped(Exception):
    """Something is not there that a number would need."""


def raise_open_files() -> None:
    """Ten thousand streams have two ends each; the limit is inherited by those started here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_port() -> int:
    """A port that nobody listens on, below the range out of which the kernel picks the ports of clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.01)


class Session:
    """A program and all that it starts."""

    def __init__(self, command: list[str], cores: Cores, log: Path, *, talks: bool = False) -> None:
        """`talks`: its standard input and output are pipes to here."""
        self.name, self.log = Path(command[0]).name, log
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        here = os.sched_getaffinity(0)
        # Children inherit it; this is quicker than a call between fork and exec, and start-up is measured.
        os.sched_setaffinity(0, cores)
        try:
            with log.open("ab") as errors:
                self.popen = subprocess.Popen(
                    command, stdin=pipe, stdout=pipe if talks else errors, stderr=errors, start_new_session=True
                )
        finally:
            os.sched_setaffinity(0, here)
        atexit.register(self.kill)

    def _processes(self) -> dict[int, list[str]]:
        """The fields of /proc/PID/stat from the state on, for each process of the session."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == self.popen.pid and fields[0] != "Z":
                found[int(entry)] = fields
        return found

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system, of all processes and threads."""
        return sum(int(fields[11]) + int(fields[12]) for fields in self._processes().values()) / TICKS

    def memory(self) -> int:
        """Bytes of resident memory of all processes."""
        total = 0
        for pid in self._processes():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Rss:"))
        return total * 1024

    def must_run(self) -> None:
        if self.popen.poll() is not None:
            raise Failed(f"{self.name} has ended: {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1][:400] if lines else "without a word"

    def kill(self) -> None:
        # What is started while it dies is found in the next turn.
        while processes := self._processes():
            for pid in processes:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
            self.popen.poll()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()
        atexit.unregister(self.kill)

    def line(self, seconds: float) -> bytes:
        """The next line it says; empty at its end."""
        assert self.popen.stdout
        ready, _, _ = select.select([self.popen.stdout], [], [], seconds)
        if not ready:
            raise Failed(f"{self.name} said nothing for {seconds:.0f} s")
        return self.popen.stdout.readline()

    def tell(self) -> None:
        """Let it go on."""
        assert self.popen.stdin
        try:
            self.popen.stdin.write(b"\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            raise Failed(self.last_words()) from None

    def let_go(self) -> None:
        """End its input, and wait until it has left."""
        assert self.popen.stdin
        self.popen.stdin.close()
        try:
            self.popen.wait(60)
        except subprocess.TimeoutExpired:
            pass
        self.kill()
