"""A candidate is tried against what is served, here and in a process of its own."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import RefusedError
from lifecycle.serve.following import trial
from lifecycle.serve.following.trial import try_apart, try_bundle
from tests.serve.bundles import log_bundle
from tests.serve.marked import marked_bundle


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return marked_bundle(tmp_path_factory.mktemp("served") / "bundle", 1.0)


def test_a_good_one_passes(served: Artifact, bundle_path: Path) -> None:
    good = marked_bundle(bundle_path, 2.0)
    try_bundle(good.path, good.digest, served.path)


def test_infinity_is_refused_unless_it_is_the_models_way(served: Artifact, bundle_path: Path) -> None:
    bad = marked_bundle(bundle_path, math.inf)
    with pytest.raises(RefusedError, match="output 'y' has inf at random inputs of batch 1"):
        try_bundle(bad.path, bad.digest, served.path)
    logarithm = log_bundle(bundle_path.with_name("log"))  # minus infinity at 0
    try_bundle(logarithm.path, logarithm.digest, logarithm.path)


def test_whole_bytes_that_are_not_those_registered_are_refused(served: Artifact) -> None:
    with pytest.raises(
        RefusedError, match=f"its bundle is {served.digest[:12]}, registered was 000000000000"
    ):
        try_bundle(served.path, "0" * 64, served.path)


def test_apart_a_refusal_keeps_its_reason_and_a_crash_is_one(
    served: Artifact, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = marked_bundle(bundle_path, math.nan)
    with pytest.raises(RefusedError, match=r"^output 'y' has nan at random inputs of batch 1$"):
        try_apart(bad.path, bad.digest, served.path)
    with pytest.raises(RefusedError, match=r"it did not answer within 0\.01 s"):
        try_apart(bad.path, bad.digest, served.path, timeout_s=0.01)
    monkeypatch.setattr(trial, "PROGRAM", ("-c", "import os; os.abort()"))
    with pytest.raises(RefusedError, match="the process that tried it ended with signal 6"):
        try_apart(bad.path, bad.digest, served.path)
