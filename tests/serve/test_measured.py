from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import readable_json
from lifecycle.serve.description.about import about
from lifecycle.serve.endpoint import open_endpoint
from lifecycle.serve.measured import measured_on
from tests.serve.bundles import digits_bundle, lookup_bundle, sum_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Artifact:
    return digits_bundle(tmp_path / "bundle")


def evaluated(bundle: Artifact, digest: str) -> None:
    with Draft(bundle.path.parent / "evaluation") as draft:
        (draft.path / "metrics.json").write_bytes(readable_json({"bundle": digest}))
        metrics = {"test_acc": 0.9, "test_loss": 0.3, "latency_ms": 0.1, "params": 640}
        draft.seal("evaluation", facts={"metrics": metrics, "headline": ["test_acc"]})


def test_what_is_known_is_told(bundle: Artifact) -> None:
    size = (bundle.path / "model.onnx").stat().st_size
    assert measured_on(bundle) == {"size_bytes": size}
    evaluated(bundle, bundle.digest)
    (bundle.path.parent / "card.md").write_text("# A card\n")
    assert measured_on(bundle) == {
        "size_bytes": size,
        "latency_ms": 0.1,
        "params": 640,
        "headline": {"test_acc": 0.9},
        "card": "# A card",
    }


def test_measurements_of_another_file_are_not(bundle: Artifact) -> None:
    evaluated(bundle, "0" * 64)
    assert set(measured_on(bundle)) == {"size_bytes"}
    evaluated(bundle, bundle.digest)
    facts = bundle.path.parent / "evaluation" / "facts.json"
    facts.write_text(facts.read_text().replace("0.9", "1.0"))
    assert set(measured_on(bundle)) == {"size_bytes"}


def test_the_page_is_told_what_suits_a_model(tmp_path: Path, bundle: Artifact) -> None:
    def told(made: Artifact) -> dict[str, object]:
        endpoint = open_endpoint(made.path, name="m", version="1", threads=1)
        endpoint.batcher.close()
        return dict(about(endpoint))

    digits = told(bundle)
    assert (digits["rows"], digits["image"]) == (True, {"channels": 1, "height": 8, "width": 8})
    table = told(lookup_bundle(tmp_path / "table"))
    assert (table["rows"], table["image"]) == (True, None)
    total = told(sum_bundle(tmp_path / "sum"))
    assert (total["rows"], total["image"]) == (False, None)
    assert [entry["name"] for entry in json.loads(str(total["example"]))["inputs"]] == ["left", "right"]
