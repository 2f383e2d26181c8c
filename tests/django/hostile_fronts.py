"""Tidegate, Debian's nginx and Debian's haproxy before one backend that records every byte, for the same hostile bytes.

    python hostile_fronts.py [FAMILY …]    prints what each makes of each case (TIDEGATE_BIN names the gateway)

A verdict is a number, and the rule is the same for all three. For requests:

    3  as it should be: nothing reached the backend and the connection was closed (over HTTP/2: or the stream was refused);
       or, if the message can be read in one way only, it reached the backend in one clear form
    2  the message, which should have been refused, reached the backend in one clear form, and nothing behind it did
    1  the message was refused or rewritten, and what stood behind it was served as the next request; or a field reached
       the backend that only a proxy may say
    0  it reached the backend in a form that can be read in two ways

For answers of the backend:

    3  as it should be: an error, an answer that visibly breaks off, or what of it can be read in one way only
    1  the client was given as a whole answer what was none, or left to wait
    0  the client was given what can be read in two ways, or another request was answered with the bytes behind it
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import hostile_answers
import hostile_cases
import hostile_frames
from frames import Frames, Stream, head, request
from hostile_answers import POISON
from hostile_backend import FINE, Backend, Request
from hostile_cases import BEHIND
from hostile_proxies import FRONTS, Front, front
from wire import Address, Answer, Reader, connect, head_bytes

# How long a proxy may say nothing until it is taken to wait for more.
PATIENCE = 1.0
STATUS = re.compile(rb"(?:^|(?<=fine)|(?<=\n))HTTP/1\.[01] ([0-9]{3})")


@dataclass
class Outcome:
    """What came of a request."""

    statuses: list[int]
    # The connection was closed; over HTTP/2: the stream is over.
    closed: bool
    requests: list[Request]
    reached: bytes
    # Which of those that reached it are good ones of our own.
    good: set[bytes] = field(default_factory=set)

    def verdict(self, case: hostile_cases.Case | hostile_frames.Case) -> int:
        unclear = any(request.odd for request in self.requests)
        unclear |= sum(len(request.raw) for request in self.requests) != len(self.reached)
        others = [request for request in self.requests if request.target not in self.good]
        if unclear:
            return 0
        if case.never and any(said(request, *case.never) for request in others):
            return 1
        if case.reaches:
            return 3
        if any(request.target in (b"/behind", b"/hidden") for request in others):
            return 1
        if others:
            return 2
        return 3 if self.closed else 2

    def __str__(self) -> str:
        reached = "+".join(request.target.decode("latin-1")[:20] for request in self.requests) or (
            "bytes" if self.reached else "nothing"
        )
        statuses = ",".join(map(str, self.statuses)) or "no answer"
        return f"{statuses}; {reached} reached it; {'closed' if self.closed else 'open'}"


def said(request: Request, name: str, value: str) -> bool:
    """Whether the request has this value in such a field, as WSGI names them."""
    names = {name.lower(), name.lower().replace("_", "-")}
    found = [text for known, text in request.fields if known.decode().lower().replace("_", "-") in names]
    return any(value.encode("latin-1") in text for text in found)


@dataclass
class Told:
    """What a client was told of an answer."""

    answer: Answer | None
    # It broke off before its end, and the client can see that.
    broken: bool = False
    # It can be read in two ways, or is none.
    unclear: bool = False
    poisoned: bool = False
    # Nothing more came, and no end.
    waits: bool = False

    def verdict(self, case: hostile_answers.Case) -> int:
        if self.unclear or self.poisoned:
            return 0
        if self.waits:
            return 1
        if self.broken or self.answer is None or self.answer.status >= 500:
            return 3
        return 3 if case.body is not None and self.answer.body == case.body else 1

    def __str__(self) -> str:
        told = str(self.answer.status) if self.answer else "no answer"
        words = {
            "visibly broken": self.broken,
            "unclear": self.unclear,
            "others poisoned": self.poisoned,
            "waits": self.waits,
        }
        return "; ".join([told, *(word for word, so in words.items() if so)])


def talk(address: Address, data: bytes) -> tuple[bytes, bool]:
    """Send these bytes; all that comes back, and whether the connection was closed then."""
    answer = b""
    with connect(address) as conn:
        try:
            conn.sendall(data)
        except OSError:
            pass  # refused before its end
        conn.settimeout(PATIENCE)
        while True:
            try:
                more = conn.recv(1 << 16)
            except TimeoutError:
                return answer, False
            except OSError:
                return answer, True
            if not more:
                return answer, True
            answer += more


def bytes_run(running: Front, case: hostile_cases.Case) -> Outcome:
    """Send the case, and a good request behind it, on a connection of their own."""
    running.backend.reset()
    answer, closed = talk(running.address, case.raw + BEHIND)
    statuses = [int(status) for status in STATUS.findall(answer)]
    return Outcome(statuses, closed, *reached(running))


def frames_run(running: Front, case: hostile_frames.Case) -> Outcome:
    """Send the case, and a good request on a later stream."""
    running.backend.reset()
    with Frames(running.open_h2(), timeout=PATIENCE) as conn:
        conn.send(case.frames + request(101, head("/behind")))
        try:
            conn.until_done(1)
            conn.until_done(101)
        except TimeoutError:
            pass  # the backend shows whether it waits for more
        stream = conn.streams.get(1)
        statuses = [stream.status] if stream and stream.status else []
        over = conn.closed or conn.goaway is not None or bool(stream and (stream.ended or stream.reset is not None))
    return Outcome(statuses, over, *reached(running), {b"/behind"})


def reached(running: Front) -> tuple[list[Request], bytes]:
    """What came to the backend. What has reached it before a last request has been read when that is answered."""
    talk(running.address, BEHIND.replace(b"/behind", b"/fence"))
    requests = running.backend.seen()
    fences = [request for request in requests if request.target == b"/fence"]
    assert len(fences) == 1, f"{running.name}: {requests}"
    requests.remove(fences[0])
    return requests, running.backend.bytes().replace(fences[0].raw, b"", 1)


def answers_run(running: Front, case: hostile_answers.Case) -> Told:
    """Ask for it over HTTP/1.1; then ask on for what is good, there and elsewhere."""
    running.backend.script = lambda seen: (FINE, False) if seen.target == b"/fence" else (case.raw, case.ends)
    with connect(running.address, timeout=PATIENCE) as conn:
        reader = Reader(conn)
        conn.sendall(head_bytes(case.method, "/answer", "site.test"))
        told = Told(None)
        try:
            told.answer = reader.answer(case.method)
            unframed = not told.answer.header("Transfer-Encoding") and told.answer.header("Content-Length") is None
            told.broken = not told.answer.complete and not unframed
        except ConnectionError as error:
            # Bytes that are no answer are what a client of HTTP/0.9 takes for one.
            told.unclear = "b''" not in str(error)
            told.broken = not told.unclear
        except TimeoutError:
            told.waits = True
        except (AssertionError, ValueError):
            told.unclear = True
        # What is left of an answer that broke off is that answer's.
        told.poisoned = b"poison" in (told.answer.body if told.answer else b"") or (
            not told.broken and reader.buffer != b""
        )
    told.poisoned |= not all(fence_is_fine(running) for _ in range(3))
    return told


def answers_run_h2(running: Front, case: hostile_answers.Case) -> Told:
    """The same over HTTP/2."""
    running.backend.script = lambda seen: (FINE, False) if seen.target == b"/fence" else (case.raw, case.ends)
    with Frames(running.open_h2(), timeout=PATIENCE) as conn:
        conn.send(request(1, head("/answer", case.method)))
        waits = False
        try:
            conn.until_done(1)
        except TimeoutError:
            waits = True
        stream = conn.streams.get(1, Stream())
        answer = Answer(stream.status, stream.headers, stream.body, stream.ended) if stream.status else None
        told = Told(answer, broken=not stream.ended and not waits, waits=waits)
        lengths = answer.all("content-length") if answer else []
        told.unclear = len(lengths) > 1 or bool(answer and answer.all("transfer-encoding"))
    told.poisoned = b"poison" in stream.body or not all(fence_is_fine(running) for _ in range(3))
    return told


def fence_is_fine(running: Front) -> bool:
    answer, _ = talk(running.address, BEHIND.replace(b"/behind", b"/fence"))
    return answer.count(b"HTTP/1") == 1 and answer.endswith(b"fine") and POISON not in answer


@dataclass(frozen=True)
class Family:
    cases: list
    run: Callable


FAMILIES: dict[str, Family] = {
    **{name: Family(cases, bytes_run) for name, cases in hostile_cases.FAMILIES.items()},
    **{f"h2-{name}": Family(cases, frames_run) for name, cases in hostile_frames.FAMILIES.items()},
    **{f"from-{name}": Family(cases, answers_run) for name, cases in hostile_answers.FAMILIES.items()},
    **{f"h2-from-{name}": Family(cases, answers_run_h2) for name, cases in hostile_answers.FAMILIES.items()},
}


@dataclass
class Row:
    family: str
    case: hostile_cases.Case | hostile_frames.Case | hostile_answers.Case
    outcomes: list[Outcome | Told]

    @property
    def verdicts(self) -> list[int]:
        return [outcome.verdict(self.case) for outcome in self.outcomes]  # type: ignore[arg-type]

    @property
    def word(self) -> str:
        ours, *others = self.verdicts
        if ours < max(others):
            return "weaker than one" if ours >= min(others) else "WEAKER"
        return "equal" if ours == min(others) else "stronger"

    def __str__(self) -> str:
        columns = [f"{verdict} {outcome!s:50}" for verdict, outcome in zip(self.verdicts, self.outcomes, strict=True)]
        return f"{self.family:15} {self.case.name[:48]:48} {self.word:15} | {' | '.join(columns)}"


def compare(folder: Path, families: Iterable[str] = FAMILIES) -> list[Row]:
    """Every case against all of them."""
    rows = [Row(family, case, []) for family in families for case in FAMILIES[family].cases]
    for kind in FRONTS:
        backend = Backend()
        with front(kind, folder, backend) as running:
            for row in rows:
                backend.script = lambda _: (FINE, False)
                row.outcomes.append(FAMILIES[row.family].run(running, row.case))
        backend.stop()
    return rows


def summary(rows: list[Row]) -> str:
    """How often each had which verdict, by families."""
    lines = [f"{'':15} {'cases':>5}  " + "  ".join(f"{kind.name:>22}" for kind in FRONTS)]
    for family in [*dict.fromkeys(row.family for row in rows), "all"]:
        these = [row for row in rows if family in (row.family, "all")]
        columns = []
        for place, _ in enumerate(FRONTS):
            counts = [sum(row.verdicts[place] == verdict for row in these) for verdict in (3, 2, 1, 0)]
            columns.append(f"{'/'.join(map(str, counts)):>22}")
        lines.append(f"{family:15} {len(these):>5}  " + "  ".join(columns))
    return "\n".join([*lines, "(how many cases had verdict 3/2/1/0)"])


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    try:
        rows = compare(folder, sys.argv[1:] or FAMILIES)
        print(*rows, sep="\n")
        print(summary(rows))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
