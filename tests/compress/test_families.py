"""Every family the whole way: pruned, saved, opened in a fresh process, trained on, QAT, export, ONNX Runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lifecycle.compress.channels import prune_channels_
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Project
from lifecycle.train.artifact import make_module, write_checkpoint
from lifecycle.train.describe import example_inputs

FAMILIES = ("mobilenet", "vit", "unet")  # residual networks go this way in test_chain.py
MODEL = """
import torch
import lifecycle as pl
from tests.compress.architectures import IMAGE, NETWORKS

class Net(pl.Module):
    def __init__(self, name):
        super().__init__()
        torch.manual_seed(0)
        self.network = NETWORKS[name]()
        self.example_input_array = IMAGE[0]

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        return self(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
"""
DATA = "import lifecycle as pl\nclass Data(pl.DataModule):\n    pass\n"
FRESH = """
import json, logging, sys, warnings
from pathlib import Path
import torch
from safetensors.torch import load_file
import lifecycle as pl
from lifecycle.callbacks import QuantizationAwareTraining
from lifecycle.compress.quantizer import convert_quantized
from lifecycle.core.artifact import open_artifact
from lifecycle.export.network import Network
from lifecycle.export.settings import RunSettings
from lifecycle.export.to_onnx import open_onnx, write_onnx
from lifecycle.train.artifact import open_checkpoint
from lifecycle.train.describe import arrays, example_inputs, signature_of
from tests.compress.test_families import fit

logging.disable(logging.INFO)
folder = Path(sys.argv[1])
torch.set_num_threads(1)
found = {}
for name in json.loads(sys.argv[2]):
    place = folder / name.replace(", ", "-")
    module = open_checkpoint(open_artifact(place), training=True)
    saved = load_file(folder / f"{place.name}.safetensors")
    with torch.no_grad():
        same = torch.equal(module.eval()(saved["images"]), saved["outputs"])
    module.train()
    batches = list(saved["images"].split(4))
    fit(module, batches)
    fit(module, batches, QuantizationAwareTraining(calibration_batches=[(batch,) for batch in batches]))
    converted = convert_quantized(module.eval())
    with torch.no_grad():
        wanted = converted(saved["images"])
    signature = signature_of(module)
    network = Network(converted, signature, arrays(signature, example_inputs(module)))
    write_onnx(network, folder / "model.onnx")
    got = torch.from_numpy(open_onnx(folder / "model.onnx", signature, RunSettings())({signature.inputs[0].name: saved["images"].numpy()})[0])
    found[name] = {"same": same, "off": float((got - wanted).abs().max()), "range": float(wanted.max() - wanted.min())}
print(json.dumps(found))
"""


def fit(module: Any, batches: Any, *callbacks: Any) -> None:
    import lifecycle as pl

    pl.Trainer(
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    ).fit(module, batches)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("families")
    (folder / "model.py").write_text(MODEL)
    (folder / "data.py").write_text(DATA)
    for name in FAMILIES:
        project = Project(
            name="families",
            root=folder,
            model=Reference("model.py:Net"),
            data=Reference("data.py:Data"),
            model_args={"name": name},
        )
        module = make_module(project.model, project.model_args, project.root)
        edits = [
            prune_channels_(module, example_inputs(module), macs=0.7).to_json(),
            prune_channels_(module, example_inputs(module), params=0.7, importance="fpgm").to_json(),
        ]
        place = folder / name.replace(", ", "-")
        write_checkpoint(module, place, project=project, edits=edits)
        images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            outputs = module.eval()(images)
        save_file({"images": images, "outputs": outputs}, folder / f"{place.name}.safetensors")
    assert load_file(folder / "unet.safetensors")["outputs"].shape == (8, 2, 8, 8)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(folder), json.dumps(FAMILIES)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_twice_pruned_module_lives_on_in_a_fresh_process(found: dict[str, Any], name: str) -> None:
    assert found[name]["same"], "outputs equal to the bit"
    assert found[name]["off"] <= 0.05 * found[name]["range"]
