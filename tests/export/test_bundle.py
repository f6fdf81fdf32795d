from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.errors import LifecycleError, RefusedError, UsageError
from lifecycle.export.bundle import write_bundle
from lifecycle.export.runtime import open_model
from tests.export.networks import DIGITS, PAIR, Digits, Pair, digits, fixed_batch, images, pairs


def test_bundle_holds_every_format_with_its_signature_and_proof(float_bundle: Artifact) -> None:
    held = {path.name for path in float_bundle.path.iterdir()}
    assert held == {"manifest.json", "facts.json", "model.onnx", "model.ts", "parity.json", "signature.json"}
    assert open_artifact(float_bundle.path, "bundle").digest == float_bundle.digest
    parity = float_bundle.read_json("parity.json")
    assert [(item["format"], item["run"], item["holds"]) for item in parity["comparisons"]] == [
        ("onnx", "as written", True),
        ("onnx", "as run", True),
        ("torchscript", "as run", True),
    ]


def test_int8_onnx_is_compared_as_written_and_as_run(integer_bundle: Artifact) -> None:
    parity = integer_bundle.read_json("parity.json")
    assert [(item["format"], item["run"]) for item in parity["comparisons"]] == [
        ("onnx", "as written"),
        ("onnx", "as run"),
        ("torchscript", "as run"),
    ]
    rows = parity["comparisons"][0]["rows"]
    assert {(row["data"], row["batch"]) for row in rows} == {
        *((data, batch) for data in ("samples", "random") for batch in (1, 2, 7, 32)),
        *((edge, 2) for edge in ("zeros", "lowest", "highest")),
    }


def test_facts_name_sizes_and_the_worst_figures(integer_bundle: Artifact, float_bundle: Artifact) -> None:
    sizes = integer_bundle.facts["size_bytes"]
    assert sizes["onnx"] == integer_bundle.file("model.onnx").stat().st_size
    assert sizes["torchscript"] == integer_bundle.file("model.ts").stat().st_size
    figures = float_bundle.facts["parity"]["onnx, as run"]
    assert 0 <= figures["max_error"] <= 1e-4
    assert figures["top1"] == 1.0


def test_given_facts_and_parent_are_kept(pair_bundle: Artifact, float_bundle: Artifact) -> None:
    assert pair_bundle.parent == float_bundle.digest
    assert pair_bundle.facts["epochs"] == 3


def test_several_inputs_and_dynamic_axes(pair: Pair, pair_bundle: Artifact) -> None:
    longer = pairs(4, 11)
    expected = pair(*map(torch.from_numpy, longer.values()))
    for format in ("onnx", "torchscript"):
        outputs = open_model(pair_bundle, format).run(longer)
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

integers = write_integers(quantized(digits()), Path("integers"))
formats = ("onnx", "torchscript")
floats = write_bundle(digits(), signature=DIGITS, formats=formats, samples=images(40), into=Path("floats"))
print(floats.digest, integers.digest)
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
    assert done.stdout.split() == [float_bundle.digest, integer_bundle.digest]


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


def test_a_file_that_differs_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    wrong = digits()
    with torch.no_grad():
        wrong.blocks[0].conv2.weight.mul_(1.02)
    with pytest.raises(
        RefusedError,
        match=r"the torchscript file, as run, differs .* 'probabilities' .* off by .* \(allowed 0.0001\)",
    ):
        write_bundle(
            wrong,
            signature=DIGITS,
            formats=["torchscript"],
            samples=images(3),
            into=tmp_path / "bundle",
            reference=digits(),
        )
    assert list(tmp_path.iterdir()) == []


def test_postprocess_of_the_reference_serves_a_graph_that_lost_its_own(tmp_path: Path) -> None:
    one = images(2)
    bare = torch.export.export(digits(), (torch.from_numpy(one["image"]),)).module()
    signature = fixed_batch(2)
    bundle = write_bundle(
        bare,
        signature=signature,
        formats=["torchscript"],
        samples=one,
        into=tmp_path / "b",
        reference=digits(),
    )
    assert bundle.facts["parity"]["torchscript, as run"]["top1"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"formats": ["onxn"]},
            "no format is called 'onxn': did you mean 'onnx'? Allowed: onnx, pt2, torchscript",
        ),
        ({"formats": []}, "export.formats names no format: onnx is the one that is served"),
        (
            {"precision": "int4"},
            "no precision is called 'int4': did you mean 'int8'? Allowed: float16, float32, int8",
        ),
        ({"precision": "int8"}, "Digits has float32 weights, but is to be exported as int8"),
        ({"samples": {"picture": images(2)["image"]}}, "input 'image' is missing; expected: image"),
    ],
)
def test_wrong_use_says_what_is_allowed(tmp_path: Path, options: dict[str, object], message: str) -> None:
    given = {"formats": ["onnx"], "samples": images(2), **options}
    with pytest.raises(UsageError, match=re.escape(message)):
        write_bundle(digits(), signature=DIGITS, into=tmp_path / "b", **given)
    assert list(tmp_path.iterdir()) == []


def test_integers_are_not_exported_as_floats(integer_network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has int8 weights, but is to be exported as float32"):
        write_bundle(
            integer_network, signature=DIGITS, formats=["onnx"], samples=images(2), into=tmp_path / "b"
        )


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    into = tmp_path / "deep" / "bundle"
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, before[1]))  # no file may grow beyond
    try:
        with pytest.raises(
            LifecycleError, match=re.escape(f"the bundle cannot be written to {into}: File too large")
        ):
            write_bundle(digits(), signature=DIGITS, formats=["torchscript"], samples=images(3), into=into)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(into.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    into = tmp_path / "file" / "bundle"
    message = f"the bundle cannot be written to {into}: File exists"
    with pytest.raises(LifecycleError, match=re.escape(message)):
        write_bundle(digits(), signature=DIGITS, formats=["torchscript"], samples=images(3), into=into)


def test_a_size_that_the_module_itself_cannot_take_is_told(pair: Pair, tmp_path: Path) -> None:
    class Narrow(Pair):
        def forward(self, ids: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
            return super().forward(ids, weights * torch.ones(5))  # broadcasts at 5, and at 1

    with pytest.raises(
        UsageError, match=r"Narrow itself fails on 2 of samples \(length 2\): The size of"
    ) as caught:
        write_bundle(
            Narrow(), signature=PAIR, formats=["onnx"], samples=pairs(9, 5), into=tmp_path / "bundle"
        )
    assert f"(at {__file__}:" in str(caught.value)
    assert "axes={name: (least, greatest)}; dynamic axes are: batch, length" in str(caught.value)


def test_an_axis_that_varies_undeclared_is_told(pair: Pair, tmp_path: Path) -> None:
    fixed = replace(PAIR, inputs=tuple(replace(spec, shape=("batch", 5)) for spec in PAIR.inputs))
    with pytest.raises(UsageError, match=re.escape("input 'ids': expected shape [batch, 5], got [9, 7]")):
        write_bundle(pair, signature=fixed, formats=["onnx"], samples=pairs(9, 7), into=tmp_path / "bundle")


def test_half_precision_is_held_to_its_own_tolerance(tmp_path: Path) -> None:
    class Half(Digits):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.head(self.blocks(self.stem(image.half() / 16)).mean(dim=(2, 3)))

    halves = replace(DIGITS, outputs=tuple(replace(spec, dtype="float16") for spec in DIGITS.outputs))
    module = digits(Half).half()
    given = {"signature": halves, "samples": images(40), "into": tmp_path / "bundle"}
    bundle = write_bundle(module, formats=["onnx", "pt2"], precision="float16", **given)
    assert bundle.read_json("parity.json")["comparisons"][0]["tolerance"]["max_error"] == 5e-3
    assert open_model(bundle).run(images(3))["logits"].dtype.name == "float16"
    with pytest.raises(UsageError, match="has float16 weights, but is to be exported as float32"):
        write_bundle(module, formats=["onnx"], **given)
