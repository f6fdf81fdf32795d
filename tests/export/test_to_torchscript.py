from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import RefusedError
from lifecycle.export.network import Network, evaluating
from lifecycle.export.runtime import open_file
from lifecycle.export.to_torchscript import write_torchscript
from tests.export.networks import DIGITS, Flat, digits, images, quantized

PROGRAM = """
import sys, warnings
import numpy as np, torch
warnings.simplefilter("ignore")
script = torch.jit.load("model.ts")
outputs = script(torch.from_numpy(np.load("image.npy")))
np.save("logits.npy", outputs[0].detach().numpy())
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("torchao", "lifecycle")))
held = script.state_dict().values()
print(sorted((str(tensor.dtype), tensor.dim()) for tensor in held if tensor.dim() > 1))
"""


def test_integers_run_in_a_process_that_has_only_pytorch(
    integer_bundle: Artifact, integer_network: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "model.ts").write_bytes(integer_bundle.file("model.ts").read_bytes())
    np.save(tmp_path / "image.npy", images(40)["image"])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    libraries, weights = done.stdout.splitlines()
    assert libraries == "[]"
    assert weights == str([("torch.int8", 2)] + 7 * [("torch.int8", 4)])
    with torch.no_grad():
        expected = integer_network(torch.from_numpy(images(40)["image"])).numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected)


def test_integers_are_a_fraction_of_the_floats(float_bundle: Artifact, integer_bundle: Artifact) -> None:
    floats, integers = (_tensor_bytes(bundle.file("model.ts")) for bundle in (float_bundle, integer_bundle))
    assert integers < floats / 2.5


def test_integers_take_any_batch_where_forward_asks_for_its_size(tmp_path: Path) -> None:
    network = quantized(digits(Flat))
    path = tmp_path / "model.ts"
    adapter = Network(network, DIGITS, images(2), postprocess=digits().postprocess)
    with evaluating(adapter):
        write_torchscript(adapter, path)
        model = open_file(path, DIGITS, "torchscript")
        for count in (1, 2, 9):
            expected = network(torch.from_numpy(images(count)["image"]))
            np.testing.assert_array_equal(model.run(images(count))["logits"], expected.numpy())


def test_same_bytes_however_many_were_written_before(float_bundle: Artifact, tmp_path: Path) -> None:
    network = Network(digits(), DIGITS, images(2))
    with evaluating(network):
        for name in ("once", "again"):
            write_torchscript(network, tmp_path / name)
            assert (tmp_path / name).read_bytes() == float_bundle.file("model.ts").read_bytes()


def test_no_folder_of_this_machine_is_in_the_file(float_bundle: Artifact, integer_bundle: Artifact) -> None:
    for bundle in (float_bundle, integer_bundle):
        content = bundle.file("model.ts").read_bytes()
        for folder in (sys.prefix, str(Path(__file__).parents[2]), str(Path(torch.__file__).parent)):
            assert folder.encode() not in content


def test_no_python_source_is_in_the_file(integer_bundle: Artifact) -> None:
    with zipfile.ZipFile(integer_bundle.file("model.ts")) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert b"fake_quantize_per_tensor_affine" in content  # what it computes with
    assert b"_lineno_map" not in content and b"torch.ops" not in content


def test_a_quantized_operator_without_equivalent_is_refused(
    integer_network: nn.Module, tmp_path: Path
) -> None:
    class Raw(nn.Module):
        """Gives out the integers themselves."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, image: Tensor) -> Tensor:
            logits = self.inner(image)
            operators = torch.ops.quantized_decomposed
            integers = operators.quantize_per_tensor.default(logits, 0.5, 10, 0, 255, torch.uint8)
            return integers.float()

    adapter = Network(Raw(integer_network), DIGITS, images(2), postprocess=digits().postprocess)
    with (
        evaluating(adapter),
        pytest.raises(
            RefusedError, match=r"TorchScript cannot hold this quantized network: .*quantize_per_tensor"
        ),
    ):
        write_torchscript(adapter, tmp_path / "model.ts")
    assert list(tmp_path.iterdir()) == []


def _tensor_bytes(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return sum(
            item.file_size for item in archive.infolist() if item.filename.rpartition("/")[2].isdigit()
        )
