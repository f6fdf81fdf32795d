"""Looking at an alias of a real registry, one look at a time."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.connection import connect
from lifecycle.core.errors import LifecycleError
from lifecycle.registry import fetch, find_version
from lifecycle.serve.following.followed import Followed, Glance, Target, read
from lifecycle.serve.following.poll import Outcome, Poll
from lifecycle.workspace import Workspace
from tests.serve.marked import Marked
from tests.versions import stored_file


class Looking:
    """A poll over versions 1 and 2 of a model, the first served."""

    def __init__(self, client: MlflowClient, folder: Path) -> None:
        self.marked = Marked(client, folder, "marked", {})
        self.marked.add(1000.0)
        self.marked.add(2000.0)
        self.marked.move("1")
        self.away = ""
        self.outcomes: list[Outcome] = []
        self.path = folder / "home" / "followed" / "0.json"
        self.path.parent.parent.mkdir()
        self._served = folder / "served"
        found = find_version(client, "models:/marked/1")
        bundle, _ = fetch(client, found, self._served)
        target = Target(version="1", digest=found.digest, bundle=bundle.path)
        self.poll = self.anew(Followed(uri=self.marked.uri, target=target))

    def anew(self, state: Followed) -> Poll:
        """As the next follower would begin."""
        return Poll(
            state,
            self.path,
            self._registry,
            period_s=1.0,
            report=lambda outcome, state: self.outcomes.append(outcome),
        )

    def _registry(self) -> tuple[MlflowClient, Path]:
        if self.away:
            raise LifecycleError(self.away)
        return self.marked.client, self._served

    def look(self) -> Followed:
        """Look once; what workers read then."""
        self.poll.step()
        found = read(self.path)
        assert found == self.poll.state
        return found


@pytest.fixture
def looking(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looking:
    workspace = Workspace(tmp_path / ".lifecycle")
    workspace.path.mkdir()
    shutil.copy(empty_store, workspace.path / "mlflow.db")
    monkeypatch.chdir(tmp_path)  # where MLflow puts files that are given no place
    return Looking(connect(workspace, {}), tmp_path)


def test_workers_are_told_of_a_good_version_and_not_of_a_bad_one(looking: Looking) -> None:
    assert looking.look().target.version == "1"
    looking.marked.move("2")
    told = looking.look()
    assert (told.target.version, told.target.bundle.name) == ("2", "bundle")
    looking.marked.move(looking.marked.add_poisoned())
    told = looking.look()
    assert (told.target.version, told.refused and told.refused.version) == ("2", "3")
    assert looking.look().refused == told.refused, "the same refusal, not another trial"
    looking.poll = looking.anew(told)
    assert looking.look().refused == told.refused, "nor by the follower after this one"
    looking.marked.move("1")
    told = looking.look()
    assert (told.target.version, told.refused) == ("1", None)
    assert looking.outcomes == [
        "answered", "accepted", "answered", "refused", "answered", "answered", "answered", "accepted", "answered",
    ]  # fmt: skip


def test_looks_come_less_often_while_the_registry_is_away(looking: Looking) -> None:
    looking.away = "nobody answers"
    pauses = [looking.poll.step() for _ in range(8)]
    for pause, mean in zip(pauses, (2, 4, 8, 12, 12, 12, 12, 12), strict=True):
        assert 0.8 * mean <= pause <= 1.2 * mean
    told = read(looking.path)
    assert told is not None
    assert (told.answers, told.error, told.target.version) == (False, "nobody answers", "1")
    looking.away = ""
    assert looking.poll.step() <= 1.2
    assert looking.poll.state.answers
    assert looking.outcomes[-2:] == ["failed", "answered"]


def test_a_bundle_that_cannot_be_fetched_is_waited_for_and_not_refused(
    looking: Looking, caplog: pytest.LogCaptureFixture
) -> None:
    """The registry names it, and where its files are does not answer."""
    looking.marked.move("2")
    stored = stored_file(
        find_version(looking.marked.client, "models:/marked/2"), looking.marked.client, "bundle"
    )
    stored.rename(stored.with_name("away"))
    with caplog.at_level(logging.INFO, "lifecycle.serve"):
        pauses = [looking.poll.step() for _ in range(4)]
    assert pauses[3] > 2 * pauses[0]
    told = read(looking.path)
    assert told is not None
    assert (told.refused, told.answers, told.target.version) == (None, False, "1")
    assert len(caplog.records) == 2, "that it moved, and that it cannot be had: once"
    stored.with_name("away").rename(stored)
    assert looking.look().target.version == "2"


def test_what_was_not_registered_by_us_is_refused(looking: Looking) -> None:
    looking.marked.client.delete_model_version_tag("marked", "2", "lifecycle.digest")
    looking.marked.move("2")
    refused = looking.look().refused
    assert refused is not None
    assert refused.reason == "it has no digest to verify it by: it was not registered by lifecycle"


def test_a_glance_sees_each_file_once(looking: Looking) -> None:
    glance = Glance(looking.path)
    assert not glance.changed(), "it is not there yet"
    looking.look()
    assert [glance.changed(), glance.changed()] == [True, False]
    looking.look()
    assert [glance.changed(), glance.changed()] == [True, False]
