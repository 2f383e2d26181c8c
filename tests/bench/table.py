"""The one table, and what it was measured on."""

import os
import platform
import re
import subprocess
from datetime import date
from pathlib import Path
from statistics import median

from loads import Numbers
from rows import Line, Row

# Deliveries that went wrong, and streams that the server refused or closed at first and that were opened again.
FLAWS = ("lost", "duplicated", "disordered", "disconnected", "failed")

# A load generator that has no idle time left is what was measured.
SATURATED = 0.97


class Results:
    """The numbers of every round, and the words where there are none."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, str], list[Numbers]] = {}
        self.words: dict[tuple[str, str], str] = {}

    def add(self, row: Row, server: str, numbers: Numbers) -> None:
        self.numbers.setdefault((row.name, server), []).append(numbers)

    def median(self, row: Row, server: str, number: str) -> float | None:
        values = [numbers[number] for numbers in self.numbers.get((row.name, server), []) if number in numbers]
        return median(values) if values else None

    def medians(self, row: Row, number: str) -> dict[str, float]:
        found = {server: self.median(row, server, number) for server in row.servers}
        return {server: value for server, value in found.items() if value is not None}

    def flaws(self, row: Row, server: str) -> list[str]:
        """What makes a number doubtful."""
        rounds = self.numbers.get((row.name, server), [])
        found = []
        for name in FLAWS:
            if count := sum(int(numbers.get(f"flaw_{name}", 0)) for numbers in rounds):
                found.append(f"{count:,} {name}")
        return found

    def saturated(self, row: Row, server: str) -> bool:
        busy = self.median(row, server, "load_busy")
        return busy is not None and busy > SATURATED and row.name != "rate"


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def table(rows: list[Row], results: Results) -> str:
    lines = ["| what | target | ours | others (ours / theirs) | met |", "|---|---|--:|---|---|"]
    notes: list[str] = []
    for row in rows:
        for line in row.lines:
            lines.append(table_line(row, line, results))
        notes += row_notes(row, results)
    return "\n".join([*lines, "", *notes])


def table_line(row: Row, line: Line, results: Results) -> str:
    values = results.medians(row, line.number)
    ours = values.get(row.ours)
    mark = "\\*" if results.flaws(row, row.ours) else ""
    others = []
    for server in row.servers:
        if server == row.ours or server not in values:
            continue
        ratio = f" ({ours / values[server]:.2f})" if ours is not None and values[server] else ""
        others.append(f"{server} {shown(values[server])}{'*' if results.flaws(row, server) else ''}{ratio}")
    met = []
    for wanted in line.wanted if ours is not None else ():
        verdict = wanted.met(values, ours)
        met.append("?" if verdict is None else "yes" if verdict else "**no**")
    cells = (
        f"{row.title}: {line.what}",
        "; ".join(map(str, line.wanted)) or "–",
        "–" if ours is None else shown(ours) + mark,
        ", ".join(others) or "–",
        ", ".join(met) or "–",
    )
    return f"| {' | '.join(cells)} |"


def row_notes(row: Row, results: Results) -> list[str]:
    notes = []
    for server in row.servers:
        if words := results.words.get((row.name, server)):
            notes.append(f"- {row.name}: {server}: {words}")
        if flaws := results.flaws(row, server):
            notes.append(f"- {row.name}: {server}: {', '.join(flaws)} in all rounds")
        if "," in server and " workers" in server and len(os.sched_getaffinity(0)) < 3:
            notes.append(f"- {row.name}: with two cores the second worker shares its core with the load")
        if results.saturated(row, server):
            notes.append(f"- {row.name}: {server}: the load generator had no time left; the server may do more")
    return notes


def machine(rounds: int, quick: bool) -> str:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = {
        "nginx": version("nginx", "-v"),
        "nchan": package("libnginx-mod-nchan"),
        "pushpin": version("pushpin", "--version"),
        "haproxy": version("haproxy", "-v"),
    }
    smoke = " A smoke run: a twentieth of the streams, a second of each load; the numbers mean nothing." if quick else ""
    known = ", ".join(f"{name} {number}" for name, number in versions.items() if number)
    return (
        f"{date.today()}; {model[1] if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"{memory:.0f} GiB, Linux {platform.release()}; {known}; "
        f"medians of {rounds} interleaved round{'s' if rounds > 1 else ''}, payloads of 200 bytes, loopback.{smoke}"
    )


def version(program: str, option: str) -> str:
    try:
        done = subprocess.run([program, option], capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""


def package(name: str) -> str:
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=False, timeout=10
        )
    except OSError:
        return ""
    return done.stdout.split(":")[-1].split("+")[0]
