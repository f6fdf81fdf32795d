from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import LifecycleError
from lifecycle.export.runtime import open_model
from lifecycle.serve.batching.probe import Probed, probe
from tests.serve.bundles import (
    dynamic_bundle,
    identity_bundle,
    lookup_bundle,
    mixing_bundle,
    slow_bundle,
)


def probed(bundle: Artifact) -> Probed:
    return probe(open_model(bundle, threads=1))


def test_a_network_that_treats_each_sample_alone_may_be_batched(digits: Artifact, bundle_path: Path) -> None:
    found = probed(digits)
    assert found.joinable
    assert found.cost.expected(8) > 0
    assert probed(lookup_bundle(bundle_path)).joinable  # with an axis of which no limits are known


@pytest.mark.parametrize("make", [mixing_bundle, dynamic_bundle])
def test_one_whose_answers_depend_on_company_may_not(make: object, bundle_path: Path) -> None:
    assert callable(make)
    assert not probed(make(bundle_path)).joinable


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "object"])
def test_every_type_can_be_tried(bundle_path: Path, dtype: str) -> None:
    assert probed(identity_bundle(bundle_path, dtype)).joinable


def test_what_takes_long_is_known_to(bundle_path: Path, digits: Artifact) -> None:
    assert probed(slow_bundle(bundle_path)).cost.expected(1) > probed(digits).cost.expected(1)


def test_a_network_that_cannot_run_is_an_error(bundle_path: Path) -> None:
    """ONNX Runtime's Python interface takes no such numbers."""
    with pytest.raises(LifecycleError):
        probed(identity_bundle(bundle_path, "bfloat16"))
