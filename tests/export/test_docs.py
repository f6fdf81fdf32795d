"""docs/export.md and an ONNX file are enough: for a stranger without this package."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
import torch

from lifecycle.core.artifact import Artifact
from lifecycle.export.formats import formats
from tests.export.networks import DIGITS, digits, images

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()


def test_the_page_lists_the_table_of_formats() -> None:
    (listed,) = re.findall(r"<!-- formats:.*?-->\n\n\| format .*?\n\|[-|]+\n(.*?)\n\n", PAGE, re.DOTALL)
    rows = [f"| `{format.name}` | `{format.filename}` | {format.summary} |" for format in formats()]
    assert listed.splitlines() == rows


def test_file_and_page_are_enough_without_this_package(float_bundle: Artifact, tmp_path: Path) -> None:
    (code,) = re.findall(r"<!-- run:.*?-->\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    python = environment(tmp_path / "env", ("onnxruntime", "numpy"))
    work = tmp_path / "work"
    work.mkdir()
    (work / "model.onnx").write_bytes(float_bundle.file("model.onnx").read_bytes())
    np.save(work / "images.npy", images(12)["image"])
    alone = (
        "from importlib.util import find_spec\n"
        "print([name for name in ('lifecycle', 'torch', 'onnx', 'mlflow') if find_spec(name)])\n"
    )
    done = subprocess.run(
        [python, "-I", "-c", alone + code], cwd=work, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    held, takes, says = done.stdout.splitlines()
    assert held == "[]"
    assert takes == "takes image uint8 ['batch', 1, 8, 8] from 0 16"
    with torch.no_grad():
        best = digits()(torch.from_numpy(images(12)["image"])).argmax(dim=1)
    assert says == f"says {[DIGITS.labels[index] for index in best]}"


def environment(folder: Path, wanted: tuple[str, ...]) -> Path:
    """A virtual environment with just these packages and what they require, linked to those installed here."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in required(wanted):
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            target = Path(str(distribution(name).locate_file(top)))
            if target.exists() and not (site / top).exists():
                (site / top).symlink_to(target)
    return folder / "bin" / "python"


def required(wanted: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.append(name)
        waiting += [re.split(r"[^\w.-]", need)[0] for need in needs if "extra ==" not in need]
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_the_environment_really_lacks_what_it_is_not_given(tmp_path: Path) -> None:
    python = environment(tmp_path / "env", ("numpy",))
    done = subprocess.run([python, "-I", "-c", "import torch"], capture_output=True, text=True, check=False)
    assert "No module named 'torch'" in done.stderr
