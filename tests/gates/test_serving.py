from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import readable_json
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.gates.case import Case, Exhibit
from lifecycle.gates.serving import Compatible, FiniteOutputs
from lifecycle.registry import Version
from tests.serve.bundles import digits_bundle, log_bundle, lookup_bundle
from tests.versions import evaluation_of

IMAGE = TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8))
LOGITS = TensorSpec(name="logits", dtype="float32", shape=("batch", 10))


def exhibit(folder: Path, bundle: Artifact, number: int = 1) -> Exhibit:
    version = Version(name="digits", number=number, source="", tags={})
    return Exhibit(version=version, bundle=bundle, evaluation=evaluation_of(folder, bundle.digest))


def nothing() -> Artifact:
    raise AssertionError("these gates look at the bundle alone")


def signed(
    folder: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], number: int
) -> Exhibit:
    with Draft(folder / "bundle") as draft:
        content = Signature(inputs=inputs, outputs=outputs).to_json()
        (draft.path / "signature.json").write_bytes(readable_json(content))
        return exhibit(folder, draft.seal("bundle"), number)


def rows(
    tmp_path: Path, inputs: tuple[TensorSpec, ...] = (IMAGE,), outputs: tuple[TensorSpec, ...] = (LOGITS,)
) -> list[str]:
    """What is said of a candidate with these, where the champion takes images and gives logits."""
    candidate = signed(tmp_path / "new", inputs, outputs, 2)
    champion = signed(tmp_path / "old", (IMAGE,), (LOGITS,), 1)
    case = Case(candidate=candidate, champion=champion, thresholds={}, checkpoint=nothing)
    return [str(row) for row in Compatible().judge(case)]


def test_a_first_champion_breaks_nobody(tmp_path: Path) -> None:
    candidate = exhibit(tmp_path, digits_bundle(tmp_path / "bundle"))
    assert (
        Compatible().judge(Case(candidate=candidate, champion=None, thresholds={}, checkpoint=nothing)) == []
    )


def test_who_takes_and_gives_the_same_or_more_is_compatible(tmp_path: Path) -> None:
    wider = replace(IMAGE, shape=("batch", 1, "height", "width"))
    more = replace(LOGITS, name="probabilities")
    said = ["ok       signature: compatible (allowed: takes and gives what version 1 does)"]
    assert rows(tmp_path / "a") == said
    assert rows(tmp_path / "b", inputs=(wider,), outputs=(LOGITS, more)) == said


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            (replace(IMAGE, dtype="float32"),),
            (LOGITS,),
            "REFUSED  signature: input 'image' is float32 [batch, 1, 8, 8]; it was uint8 [batch, 1, 8, 8] "
            "(allowed: takes and gives what version 1 does)",
        ),
        ((replace(IMAGE, shape=("batch", 3, 8, 8)),), (LOGITS,), "input 'image' is uint8 [batch, 3, 8, 8]; "),
        ((replace(IMAGE, shape=(1, 1, 8, 8)),), (LOGITS,), "input 'image' is uint8 [1, 1, 8, 8]; it was "),
        ((replace(IMAGE, name="picture"),), (LOGITS,), "REFUSED  signature: input 'image' is gone"),
        (
            (IMAGE, replace(IMAGE, name="mask")),
            (LOGITS,),
            "REFUSED  signature: input 'mask' was not asked for",
        ),
        (
            (IMAGE,),
            (replace(LOGITS, shape=("batch", 11)),),
            "output 'logits' is float32 [batch, 11]; it was ",
        ),
        ((IMAGE,), (replace(LOGITS, shape=("batch", "classes")),), "REFUSED  signature: output 'logits' is "),
        ((IMAGE,), (replace(LOGITS, name="scores"),), "REFUSED  signature: output 'logits' is gone"),
    ],
)
def test_what_would_break_a_client_is_refused(
    tmp_path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], message: str
) -> None:
    assert any(message in row for row in rows(tmp_path, inputs, outputs)), rows(
        tmp_path / "x", inputs, outputs
    )


def outputs_of(tmp_path: Path, bundle: Artifact) -> str:
    [row] = FiniteOutputs().judge(
        Case(candidate=exhibit(tmp_path, bundle), champion=None, thresholds={}, checkpoint=nothing)
    )
    return str(row)


def test_finite_outputs_are_looked_for(tmp_path: Path) -> None:
    assert outputs_of(tmp_path / "a", digits_bundle(tmp_path / "digits")).startswith(
        "ok       outputs: finite at 5 inputs"
    )
    assert "REFUSED  outputs: y has -inf at inputs of the least values" in outputs_of(
        tmp_path / "b", log_bundle(tmp_path / "log")
    )


def test_a_file_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    """Row 5 of a table of five is asked for."""
    bundle = lookup_bundle(tmp_path / "lookup")
    with Draft(tmp_path / "wider") as draft:
        signature = bundle.read_json("signature.json")
        signature["inputs"][0]["range"] = [0, 9]  # type: ignore[index, call-overload]
        (draft.path / "signature.json").write_bytes(readable_json(signature))
        (draft.path / "model.onnx").write_bytes(bundle.file("model.onnx").read_bytes())
        wrong = draft.seal("bundle")
    assert "REFUSED  outputs: the onnx file failed on ids" in outputs_of(tmp_path, wrong)
