"""Latency, size and memory of the candidate beside the champion, measured when it is promoted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from onnx import helper

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import readable_json
from lifecycle.core.signature import Signature
from tests.gates.test_comparison import ABSOLUTE, champion, proposed, rows
from tests.serve.bundles import bundle
from tests.versions import PROVEN, proven_bundle, registered


def slow(folder: Path, checkpoint: Artifact) -> Artifact:
    """The digits model with a hundred large products before it, whose result nobody needs: times zero."""
    plain = proven_bundle(folder / "plain")
    signature = Signature.from_json(plain.read_json("signature.json"))
    size = 256
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=1),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("MatMul", ["flat", "widen"], ["wide0"]),
        *(
            helper.make_node("MatMul", [f"wide{index}", "square"], [f"wide{index + 1}"])
            for index in range(100)
        ),
        helper.make_node("MatMul", ["wide100", "narrow"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {
        "widen": np.zeros((64, size), np.float32),
        "square": np.eye(size, dtype=np.float32),
        "narrow": np.zeros((size, 10), np.float32),
    }
    files = {"parity.json": readable_json(PROVEN)}
    return bundle(folder / "bundle", nodes, signature, constants, files=files, parent=checkpoint)


def test_a_slower_challenger_is_refused_where_a_limit_is_set(client: MlflowClient, tmp_path: Path) -> None:
    champion(client, tmp_path)
    gates = {"size_bytes": {"max": 1e9}, "latency_ms": {"max_ratio": 1.5}}
    registered(client, tmp_path / "b", gates=gates, made=slow)
    text = rows(proposed(client, tmp_path))["latency_ms, beside version 1"]
    assert text.startswith("REFUSED") and "(allowed: ≤ 1.5 ×, noise apart)" in text
    assert "latency_ms, ratio to champion" not in rows(proposed(client, tmp_path)), "judged on pairs alone"


def test_without_a_limit_latency_is_told_and_refuses_nothing(client: MlflowClient, tmp_path: Path) -> None:
    champion(client, tmp_path)
    registered(client, tmp_path / "b", gates={"size_bytes": {"max": 1e9}}, made=slow)
    promotion = proposed(client, tmp_path)
    text = rows(promotion)["latency_ms, beside version 1"]
    assert promotion.holds and text.startswith("ok") and "(allowed: no limit is set)" in text


def test_the_first_champion_meets_an_absolute_limit_on_latency(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", gates={"latency_ms": {"max": 1e-6}})
    assert rows(proposed(client, tmp_path))["latency_ms"].startswith("REFUSED  latency_ms: ")


@pytest.mark.parametrize(("ratio", "verdict"), [(1.5, "REFUSED"), (1e6, "ok")])
def test_a_larger_challenger_is_refused_where_a_limit_is_set(
    client: MlflowClient, tmp_path: Path, ratio: float, verdict: str
) -> None:
    champion(client, tmp_path)
    gates = {**ABSOLUTE, "size_bytes": {"max_ratio": ratio}}
    registered(client, tmp_path / "b", label="zero", gates=gates, padding=100_000)
    text = rows(proposed(client, tmp_path))["size_bytes, ratio to champion"]
    assert text.startswith(verdict) and f"(allowed: ≤ {ratio:g})" in text


def test_memory_is_measured_where_it_has_a_limit(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", gates={"memory_mb": {"max": 0.001}})
    text = rows(proposed(client, tmp_path))["memory_mb"]
    assert text.startswith("REFUSED  memory_mb: ")
    assert 0.001 < float(text.split()[2]) < 500
