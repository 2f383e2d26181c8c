"""Hostile answers of the upstream: an error or a visible break for the client, and nothing for anybody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile_answers import FAMILIES, Case
from hostile_backend import Backend
from hostile_fronts import answers_run, answers_run_h2
from hostile_proxies import Front, Tidegate, front


@pytest.fixture(scope="module")
def tidegate(folder: Path) -> Iterator[Front]:
    place = folder / "hostile-answers"
    place.mkdir()
    backend = Backend()
    with front(Tidegate, place, backend) as running:
        yield running
    backend.stop()


CASES = [pytest.param(case, id=f"{family}: {case.name}") for family, cases in FAMILIES.items() for case in cases]


@pytest.mark.parametrize("run", [answers_run, answers_run_h2], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("case", CASES)
def test_what_the_client_is_told(tidegate: Front, case: Case, run: type) -> None:
    tidegate.backend.reset()
    told = run(tidegate, case)
    assert told.verdict(case) == 3, f"{told}: {told.answer}"
    if told.answer and told.answer.status >= 500:
        assert told.answer.complete and b"fine" not in told.answer.body
    if case.name != "an early hint":
        # Whatever an answer like that came from is never asked again.
        with tidegate.backend.lock:
            used = [conn.bytes for conn in tidegate.backend.conns if b"/answer" in conn.bytes]
        assert used and all(bytes_.count(b"HTTP/1.1\r\n") == 1 for bytes_ in used)
