from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.core.plugins import table
from lifecycle.export.formats import load_format


def test_every_format_is_called_as_in_the_table() -> None:
    formats = [load_format(name) for name in table("formats")]
    assert [format.name for format in formats] == list(table("formats"))
    assert len({format.filename for format in formats}) == len(formats)


def test_unknown_formats_are_answered_with_the_closest() -> None:
    with pytest.raises(UsageError, match="no format is called 'torchscrip': did you mean 'torchscript'"):
        load_format("torchscrip")


def test_looking_formats_up_loads_no_framework() -> None:
    program = (
        "import sys; from lifecycle.export.formats import load_format as load;"
        "load('onnx'); load('torchscript');"
        "print([name for name in ('torch', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
