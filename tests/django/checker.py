"""Verifies the promise of docs/streams.md on what listeners wrote down: every event of their channels in publish
order, each exactly once, with no gap, or one reset before it goes on.

It knows nothing of sockets: it is given what was published, what one undisturbed observer of all channels received, and
the trace of each listener. The order of the log is the observer's, and has itself to agree with the ids that publishers
were answered. A place in the log is then an index, and a listener a cursor that only such entries may move:

    Opened     the request: the id it came with, the channels it is granted
    Placed     an `id:` line without an event, as at the start of a stream
    Received   an event
    Ended      the connection is over
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from streams import Event

SHOWN = 20  # lines of a listener's history under a violation


@dataclass(eq=False)
class Published:
    """One event as a publisher sent it; `answered_id` stays empty where the answer names only the last of many."""

    number: int
    publisher: str
    channels: tuple[str, ...]
    event: str
    data: str
    own_id: str | None = None
    sent_at: float = 0.0
    answered_at: float = float("inf")
    answered_id: str | None = None

    def __str__(self) -> str:
        return f"number {self.number} of {self.publisher}: {self.data[:80]}"


@dataclass(frozen=True)
class Opened:
    last_id: str
    channels: frozenset[str]
    # The highest number that any publisher had been answered before the request was sent.
    floor: int = 0


@dataclass(frozen=True)
class Placed:
    id: str


@dataclass(frozen=True)
class Received:
    event: Event
    at: float = float("-inf")  # when, by the clock of `Published.sent_at`


@dataclass(frozen=True)
class Ended:
    how: str


Entry = Opened | Placed | Received | Ended


@dataclass
class Trace:
    listener: str
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Violation:
    listener: str
    channels: tuple[str, ...]
    expected: str
    got: str
    history: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = "".join(f"\n      {line[:200]}" for line in self.history)
        return (
            f"{self.listener} on {', '.join(self.channels) or 'any channel'}\n"
            f"   expected: {self.expected}\n   got:      {self.got}\n   the last of its history:{lines}"
        )


def seq_of(event_id: str, epoch: str) -> int | None:
    """The number in an id that the gateway made in this life of the log."""
    before, dash, number = event_id.rpartition("-")
    return int(number) if dash and before == epoch and number.isdecimal() else None


class Log:
    """The one order of all events, as the observer saw it; whatever speaks against that order is a violation."""

    def __init__(self, published: Iterable[Published], observed: Sequence[Event], kept: int) -> None:
        self.kept = kept  # events that history keeps of each channel
        self.violations: list[Violation] = []
        known = {event.number: event for event in published}
        self.events: list[Published] = []
        self.wire_ids: list[str] = []
        self.index_of_number: dict[int, int] = {}
        for event in observed:
            sent = known.get(number_of(event))
            if sent is None or sent.number in self.index_of_number:
                self.wrong("each published event once", f"once more, or never published: {event}")
                continue
            self.index_of_number[sent.number] = len(self.events)
            self.events.append(sent)
            self.wire_ids.append(event.id)
            if (event.type, event.data) != (sent.event, sent.data) or event.id != (sent.own_id or event.id):
                self.wrong(f"{sent}", f"{event}")
        self.index_of_id = {wire_id: index for index, wire_id in enumerate(self.wire_ids)}
        self.number_places()
        self.compare_with_answers(known.values())
        # The earliest time at which this event or a later one was sent.
        self.sent_from = list(accumulate((event.sent_at for event in reversed(self.events)), min))[::-1]
        self.by_channel: dict[str, list[int]] = {}
        for index, sent in enumerate(self.events):
            for channel in sent.channels:
                self.by_channel.setdefault(channel, []).append(index)

    def wrong(self, expected: str, got: str, channels: tuple[str, ...] = ()) -> None:
        self.violations.append(Violation("the observer of all channels", channels, expected, got))

    def number_places(self) -> None:
        """The gateway's numbers grow by one per event, so the first of them numbers all the others."""
        made = [i for i, event in enumerate(self.events) if event.own_id is None]
        first = self.wire_ids[made[0]] if made else "-0"
        self.epoch, _, number = first.rpartition("-")
        self.base = int(number) - (made[0] if made else 0)
        for index in made:
            if seq_of(self.wire_ids[index], self.epoch) != self.base + index:
                self.wrong(f"the id {self.epoch}-{self.base + index}", f"{self.wire_ids[index]}: {self.events[index]}")
                return  # All that follow would be told too.

    def compare_with_answers(self, published: Iterable[Published]) -> None:
        for sent in published:
            index = self.index_of_number.get(sent.number)
            if index is None:
                self.wrong(f"{sent}", "nothing of it", sent.channels)
            elif sent.answered_id not in (None, self.wire_ids[index]):
                self.wrong(f"the id {sent.answered_id} of the answer", self.wire_ids[index], sent.channels)
        # Who was answered before another was sent comes first; one publisher's events are in its own order.
        earliest_answer = float("inf")
        newest: dict[str, int] = {}
        for sent in reversed(self.events):
            if earliest_answer < sent.sent_at:
                self.wrong(f"{sent} after what was answered before it was sent", "before it", sent.channels)
            earliest_answer = min(earliest_answer, sent.answered_at)
            if newest.get(sent.publisher, sent.number + 1) < sent.number:
                self.wrong(f"the order in which {sent.publisher} sent", f"{sent} too early", sent.channels)
            newest[sent.publisher] = sent.number

    def could_have(self, at: float) -> int:
        """The index of the last event that may have been in the log at this time."""
        return bisect_right(self.sent_from, at) - 1

    def place(self, event_id: str) -> int | None:
        """The index of the event that this id names, or would name: the place just after it."""
        if (index := self.index_of_id.get(event_id)) is not None:
            return index
        seq = seq_of(event_id, self.epoch)
        return None if seq is None else seq - self.base

    def of(self, channels: Iterable[str]) -> list[int]:
        return sorted({index for channel in channels for index in self.by_channel.get(channel, ())})

    def count(self, channel: str, after: int, until: int) -> int:
        indexes = self.by_channel.get(channel, [])
        return bisect_right(indexes, until) - bisect_right(indexes, after)

    def shown(self, index: int | None) -> str:
        if index is None:
            return "nothing more"
        sent = self.events[index]
        return f"{self.wire_ids[index]} {sent.event} of {','.join(sent.channels)}: {sent.data[:80]}"


def number_of(event: Event) -> int:
    """Which of the published events this is, by its data; -1 if by none."""
    try:
        return int(json.loads(event.data)["g"])
    except (ValueError, KeyError, TypeError):
        return -1


class Cursor:
    """One listener, entry by entry. The first violation is the last: what follows it says nothing new."""

    def __init__(self, log: Log, trace: Trace) -> None:
        self.log, self.trace = log, trace
        self.at: int | None = None  # the index of the last event before the place, None before there is a place
        self.channels: frozenset[str] = frozenset()
        self.granted: list[int] = []
        self.opened = Opened("", frozenset())
        self.violation: Violation | None = None
        self.step = 0

    def run(self, end: int) -> Violation | None:
        """`end` is the place that a listener must have reached when it is connected at the end."""
        for self.step, entry in enumerate(self.trace.entries):
            match entry:
                case Opened():
                    self.open(entry)
                case Placed():
                    self.move(entry.id)
                case Received(event, at) if event.type == "reset":
                    self.reset(event, at)
                case Received(event):
                    self.receive(event)
            if self.violation:
                return self.violation
        if self.at is None:
            return self.wrong("a stream", "none was ever open")
        if self.at < end:
            missing = self.next()
            return self.wrong(self.log.shown(end if missing is None else missing), "nothing more")
        return None

    def next(self) -> int | None:
        """The event that is due now."""
        assert self.at is not None
        place = bisect_right(self.granted, self.at)
        return self.granted[place] if place < len(self.granted) else None

    def wrong(self, expected: str, got: str, channels: tuple[str, ...] = ()) -> Violation:
        history = [str(entry) for entry in self.trace.entries[max(0, self.step + 1 - SHOWN) : self.step + 1]]
        channels = channels or tuple(sorted(self.channels))
        self.violation = Violation(self.trace.listener, channels, expected, got, tuple(history))
        return self.violation

    def open(self, entry: Opened) -> None:
        self.opened = entry
        if not entry.last_id:
            self.at = None  # it never saw a place, or has none: it starts now
        if entry.channels != self.channels:
            self.channels, self.granted = entry.channels, self.log.of(entry.channels)

    def move(self, event_id: str) -> None:
        """An `id:` line that goes forward promises that nothing was skipped, for the client may come back with it."""
        place = self.log.place(event_id)
        if place is None:
            self.wrong("the id of a place in the log", event_id)
        elif self.at is None:
            self.at = place
            if place + self.log.base < self.opened.floor:
                self.wrong(f"a start at {self.opened.floor} or later, which was answered before", event_id)
        elif place < self.at:
            self.wrong(f"no place before {self.log.wire_ids[self.at] if self.at >= 0 else self.at}", event_id)
        elif (due := self.next()) is not None and due <= place:
            self.wrong(self.log.shown(due), f"the place {event_id}, which skips it", self.log.events[due].channels)
        else:
            self.at = place

    def receive(self, event: Event) -> None:
        if self.at is None:
            self.wrong("a place before the first event", f"{event}")
            return
        due = self.next()
        index = self.log.index_of_number.get(number_of(event))
        channels = self.log.events[index].channels if index is not None else ()
        if index is None or not self.channels & set(channels):
            self.wrong(f"nothing but events of its channels, now {self.log.shown(due)}", f"{event}", channels)
        elif index != due:
            self.wrong(self.log.shown(due), f"{event}", channels)
        elif (event.id, event.type, event.data) != (self.log.wire_ids[index], *self.sent(index)):
            self.wrong(self.log.shown(due), f"{event}", channels)
        else:
            self.at = index

    def sent(self, index: int) -> tuple[str, str]:
        return self.log.events[index].event, self.log.events[index].data

    def reset(self, event: Event, at: float) -> None:
        """Goes on at the reset's own id; only history that is too short is a reason for one.

        The place is noted before Django is asked and history looked at when it has answered, so what counts is all
        that may have been published when the reset arrived.
        """
        place = self.log.place(event.id)
        if self.at is None or place is None or place < self.at:
            self.wrong("a reset that goes on at its id, from where the listener was", f"{event}")
            return
        # A publisher's id is looked up in what history still holds, and only of what the listener may hear now.
        own = self.log.index_of_id.get(self.opened.last_id)
        by_own = own is not None and self.log.events[own].own_id is not None
        hidden = own is not None and by_own and not self.channels & set(self.log.events[own].channels)
        held = self.log.kept - by_own
        now = max(place, self.log.could_have(at))
        if not hidden and all(self.log.count(channel, self.at, now) <= held for channel in self.channels):
            self.wrong("no reset, for history still holds all that it missed", f"{event}")
        self.at = place


def check(log: Log, traces: Iterable[Trace], end: int | None = None) -> list[Violation]:
    """All violations: those of the order itself, and the first of each listener."""
    end = len(log.events) - 1 if end is None else end
    found = [Cursor(log, trace).run(end) for trace in traces]
    return log.violations + [violation for violation in found if violation]


def replays(trace: Trace) -> int:
    """How often it came back to events that it had missed, without a reset: the load has to try that above all."""
    count, floor = 0, None
    for entry in trace.entries:
        match entry:
            case Opened(last_id, _, newest):
                floor = newest if last_id else None
            case Received(event) if floor is not None:
                # Replayed for sure is what was in the log before the request was sent.
                _, _, number = event.id.rpartition("-")
                count += event.type != "reset" and number.isdecimal() and int(number) <= floor
                floor = None
    return count
