"""The fixtures of the tests about GRIP: which proxy, what stands behind it, and the table of what was seen.

With TESTS_PUSHPIN=/usr/bin/pushpin every test runs against both proxies; TESTS_GRIP_TABLE=FILE then writes what they
did side by side, in Markdown.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from grip_backend import Backend
from grip_fronts import FRONTS, PROXIES, Front
from grip_project import Project, prepare_project

T = TypeVar("T")
_names = itertools.count()
_table: dict[str, dict[str, str]] = {}


@pytest.fixture(scope="session", params=PROXIES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def backend(shared_backend: Backend) -> Backend:
    return shared_backend


@pytest.fixture(scope="session")
def shared_backend() -> Iterator[Backend]:
    """One for the whole run: nobody may stop it."""
    made = Backend()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def front(folder: Path, kind: str, shared_backend: Backend) -> Iterator[Front]:
    """The proxy of the run, with everything at its default."""
    made = FRONTS[kind](folder / f"front{next(_names)}", shared_backend.server)
    yield made
    made.stop()


FrontMaker = Callable[..., Front]


@pytest.fixture
def new_front(folder: Path, kind: str, backend: Backend) -> Iterator[FrontMaker]:
    """Makes proxies with settings of their own, in front of the shared backend or another."""
    made: list[Front] = []

    def make(behind: Backend | None = None, **settings: object) -> Front:
        made.append(FRONTS[kind](folder / f"front{next(_names)}", (behind or backend).server, **settings))
        return made[-1]

    yield make
    for front in made:
        front.stop()


@pytest.fixture
def own_backend() -> Iterator[Backend]:
    """One that a test may stop."""
    made = Backend()
    yield made
    if made.running:
        made.stop()


@pytest.fixture(scope="session")
def project_database(folder: Path) -> Path:
    return prepare_project(folder / "project-database")


ProjectMaker = Callable[..., Project]


def project_maker(folder: Path, project_database: Path, kind: str) -> Iterator[ProjectMaker]:
    made: list[Project] = []

    def make(**settings: object) -> Project:
        project = Project(folder / f"project{next(_names)}", project_database, kind, **settings)  # type: ignore[arg-type]
        made.append(project)
        return made[-1]

    yield make
    for project in made:
        project.stop()


new_project = pytest.fixture(name="new_project")(project_maker)
shared_projects = pytest.fixture(name="shared_projects", scope="session")(project_maker)


@pytest.fixture(scope="session")
def held_project(shared_projects: ProjectMaker) -> Project:
    """The project of the run, behind the proxy of the run, with a storage."""
    return shared_projects()


class Seen:
    """Holds what a proxy did against what is expected of this one, and keeps it for the table."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, behaviour: str, what: T, *, tidegate: T, pushpin: T | None = None) -> T:
        """Without `pushpin` both must do the same."""
        expected = tidegate if pushpin is None or self.kind == "tidegate" else pushpin
        _table.setdefault(behaviour, {})[self.kind] = str(what)
        assert what == expected, f"{behaviour}: {self.kind} did {what!r}, not {expected!r}"
        return what


@pytest.fixture
def seen(kind: str) -> Seen:
    return Seen(kind)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if file := os.environ.get("TESTS_GRIP_TABLE"):
        lines = ["| behaviour | Pushpin 1.36 | Tidegate |", "|---|---|---|"]
        lines += [f"| {row} | {did.get('pushpin', '')} | {did.get('tidegate', '')} |" for row, did in _table.items()]
        Path(file).write_text("\n".join(lines) + "\n")
