from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.export.bundle import write_bundle
from tests.export.networks import DIGITS, PAIR, Pair, digits, images, pairs


def test_bundle_holds_every_format_with_its_signature_and_proof(float_bundle: Artifact) -> None:
    held = {path.name for path in float_bundle.path.iterdir()}
    assert held == {"manifest.json", "facts.json", "model.onnx", "model.ts", "parity.json", "signature.json"}
    assert open_artifact(float_bundle.path, "bundle").digest == float_bundle.digest
    parity = float_bundle.read_json("parity.json")
    assert [(item["format"], item["run"], item["holds"]) for item in parity["comparisons"]] == [  # type: ignore[index, union-attr, call-overload]
        ("onnx", "as run", True),
        ("torchscript", "as run", True),
    ]


def test_int8_onnx_is_compared_as_written_and_as_run(integer_bundle: Artifact) -> None:
    parity = integer_bundle.read_json("parity.json")
    assert [(item["format"], item["run"]) for item in parity["comparisons"]] == [  # type: ignore[index, union-attr, call-overload]
        ("onnx", "as written"),
        ("onnx", "as run"),
        ("torchscript", "as run"),
    ]
    rows = parity["comparisons"][0]["rows"]  # type: ignore[index, call-overload]
    assert {(row["data"], row["batch"]) for row in rows} == {  # type: ignore[index, union-attr, call-overload]
        (data, batch) for data in ("samples", "random") for batch in (1, 2, 7, 32)
    }


def test_facts_name_sizes_and_the_worst_figures(integer_bundle: Artifact, float_bundle: Artifact) -> None:
    sizes = integer_bundle.facts["size_bytes"]
    assert sizes["onnx"] == integer_bundle.file("model.onnx").stat().st_size  # type: ignore[index, call-overload]
    assert sizes["torchscript"] == integer_bundle.file("model.ts").stat().st_size  # type: ignore[index, call-overload]
    figures = float_bundle.facts["parity"]["onnx, as run"]  # type: ignore[index, call-overload]
    assert 0 <= figures["max_error"] <= 1e-4  # type: ignore[index, call-overload, operator]
    assert figures["top1"] == 1.0  # type: ignore[index, call-overload]


def test_given_facts_and_parent_are_kept(float_bundle: Artifact, tmp_path: Path) -> None:
    bundle = write_bundle(
        Pair(),
        signature=PAIR,
        formats=["onnx"],
        samples=pairs(3, 5),
        into=tmp_path / "bundle",
        parent=float_bundle,
        facts={"epochs": 3},
    )
    assert bundle.parent == float_bundle.digest
    assert bundle.facts["epochs"] == 3


def test_several_inputs_and_dynamic_axes(tmp_path: Path) -> None:
    from lifecycle.export.runtime import open_model

    module = Pair()
    bundle = write_bundle(
        module, signature=PAIR, formats=["onnx", "torchscript"], samples=pairs(9, 5), into=tmp_path / "bundle"
    )
    longer = pairs(4, 11)
    expected = module(*map(torch.from_numpy, longer.values()))
    for format in ("onnx", "torchscript"):
        outputs = open_model(bundle, format).run(longer)
        assert list(outputs) == ["scores", "pooled"]
        for name, array in outputs.items():
            torch.testing.assert_close(torch.from_numpy(array), expected[name])


PROGRAM = """
import sys, warnings
warnings.simplefilter("error")
from pathlib import Path
from tests.export.conftest import write_integers
from tests.export.networks import DIGITS, digits, images, quantized
from lifecycle.export.bundle import write_bundle

formats = ("onnx", "torchscript")
write = lambda name: write_bundle(
    digits(), signature=DIGITS, formats=formats, samples=images(40), into=Path(name)
)
print(write("a").digest, write("b").digest, write_integers(quantized(digits()), Path("c")).digest)
"""


def test_same_bytes_in_another_process_and_folder(
    float_bundle: Artifact, integer_bundle: Artifact, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{PROGRAM}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [float_bundle.digest, float_bundle.digest, integer_bundle.digest]


def test_nothing_is_printed_and_the_module_stays_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    module = digits().train()
    module.head.eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    write_bundle(
        module, signature=DIGITS, formats=["onnx", "torchscript"], samples=images(3), into=tmp_path / "b"
    )
    assert capfd.readouterr() == ("", "")
    assert module.training and module.blocks.training and not module.head.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_a_file_that_differs_is_refused_and_nothing_is_left(tmp_path: Path, format: str) -> None:
    wrong = digits()
    with torch.no_grad():
        wrong.blocks[0].conv2.weight.mul_(1.02)  # type: ignore[union-attr, operator]
    with pytest.raises(
        RefusedError, match=rf"the {format} file, as run, differs .* 'logits' .* \(allowed 0.0001\)"
    ):
        write_bundle(
            wrong,
            signature=DIGITS,
            formats=[format],
            samples=images(3),
            into=tmp_path / "bundle",
            reference=digits(),
        )
    assert list(tmp_path.iterdir()) == []


def test_postprocess_of_the_reference_serves_a_graph_that_lost_its_own(
    integer_network: nn.Module, tmp_path: Path
) -> None:
    bare = torch.export.export(digits(), (torch.from_numpy(images(2)["image"]),)).module()
    one = images(2)
    signature = _fixed_batch(2)
    bundle = write_bundle(
        bare, signature=signature, formats=["onnx"], samples=one, into=tmp_path / "b", reference=digits()
    )
    assert bundle.facts["parity"]["onnx, as run"]["top1"] == 1.0  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ["onxn"]}, "no format is called 'onxn': did you mean 'onnx'? Allowed: onnx, torchscript"),
        ({"formats": []}, "export.formats names no format: onnx is the one that is served"),
        ({"precision": "int4"}, "no precision is called 'int4': did you mean 'int8'? Allowed: float32, int8"),
        ({"precision": "int8"}, "Digits has float32 weights, but is to be exported as int8"),
        ({"samples": {"picture": images(2)["image"]}}, "input 'image' is missing; expected: image"),
    ],
)
def test_wrong_use_says_what_is_allowed(tmp_path: Path, options: dict[str, object], message: str) -> None:
    given = {"formats": ["onnx"], "samples": images(2), **options}
    with pytest.raises(UsageError, match=re.escape(message)):
        write_bundle(digits(), signature=DIGITS, into=tmp_path / "b", **given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_integers_are_not_exported_as_floats(integer_network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has int8 weights, but is to be exported as float32"):
        write_bundle(
            integer_network, signature=DIGITS, formats=["onnx"], samples=images(2), into=tmp_path / "b"
        )


def _fixed_batch(size: int):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(
        DIGITS,
        inputs=tuple(replace(spec, shape=(size, *spec.shape[1:])) for spec in DIGITS.inputs),
        outputs=tuple(replace(spec, shape=(size, *spec.shape[1:])) for spec in DIGITS.outputs),
    )
