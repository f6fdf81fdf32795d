"""Forward with branches on values: scripted where TorchScript can, refused with the place where nothing can."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.bundle import write_bundle
from lifecycle.export.runtime import open_model

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3), range=(-1, 1)),),
    outputs=(
        TensorSpec(name="high", dtype="float32", shape=("batch", 2)),
        TensorSpec(name="low", dtype="float32", shape=("batch", 3)),
        TensorSpec(name="norm", dtype="float32", shape=("batch",)),
    ),
)


class Branches(nn.Module):
    """Goes one of two ways, by what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if bool(x.mean() > 0):  # the branch
            x = x * 3
        return {"low": x, "high": self.layer(x)}

    def postprocess(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"norm": outputs["high"].norm(dim=1)}


class Unscriptable(Branches):
    """With something that TorchScript does not know either."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return super().forward(x)


def place() -> str:
    lines = Path(__file__).read_text().splitlines()
    (line,) = (number for number, text in enumerate(lines, 1) if text.endswith("# the branch"))
    return f"{__file__}:{line}"


def samples() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(4).uniform(-1, 1, (9, 3)).astype(np.float32)}


def export(module: nn.Module, format: str, into: Path) -> object:
    return write_bundle(module, signature=SIGNATURE, formats=[format], samples=samples(), into=into)


def test_forward_is_scripted_where_a_trace_would_follow_one_branch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Branches()
    bundle = export(module, "torchscript", tmp_path / "bundle")
    assert bundle.read_json("parity.json")["conversion"]["torchscript"] == [
        {"way": "traced", "reason": f"Converting a tensor to a Python boolean (at {place()})"},
        {"way": "scripted", "reason": "a trace would follow one branch"},
    ]
    model = open_model(bundle, "torchscript")
    for sign in (1, -1):
        x = sign * np.abs(samples()["x"])
        outputs = model.run({"x": x})
        expected = module(torch.from_numpy(x))
        assert list(outputs) == ["high", "low", "norm"]
        torch.testing.assert_close(torch.from_numpy(outputs["low"]), expected["low"])
        torch.testing.assert_close(torch.from_numpy(outputs["norm"]), expected["high"].norm(dim=1))


@pytest.mark.parametrize(
    ("format", "message"),
    [
        (
            "onnx",
            r"cannot convert Branches: non-strict: .*data-dependent.*; strict: .*; trace: a trace would not",
        ),
        ("pt2", r"pt2 cannot hold Branches: non-strict: .*data-dependent.*; strict: .*dependent"),
    ],
)
def test_other_formats_name_the_line_that_branches(
    tmp_path: Path, format: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LifecycleError, match=message) as caught:
        export(Branches(), format, tmp_path / "bundle")
    assert f"(at {place()})" in str(caught.value)
    assert "Forward must not branch on values of tensors" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_neither_traced_nor_scripted_says_why_of_both(tmp_path: Path) -> None:
    message = (
        rf"TorchScript cannot hold Unscriptable: traced: .* \(at {re.escape(place())}\); "
        r"scripted: torch\.jit\.script cannot compile Unscriptable: "
    )
    with pytest.raises(LifecycleError, match=message):
        export(Unscriptable(), "torchscript", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
