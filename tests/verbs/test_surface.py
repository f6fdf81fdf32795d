"""Every verb of the command line has a function or method that is typed and says what it does."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lifecycle
from lifecycle import verbs
from lifecycle.cli.main import VERBS

DOCS = Path(__file__).parents[2] / "docs" / "from-python.md"

CALLED = [verb for verb in VERBS if verb != "completion"]  # a script for a shell


def documented() -> dict[str, str]:
    """The table of docs/from-python.md: verbs and what to call."""
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)\(", DOCS.read_text(), re.MULTILINE)
    return dict(rows)


def test_every_verb_of_the_command_line_stands_in_the_table() -> None:
    assert sorted(documented()) == sorted(CALLED)


@pytest.mark.parametrize("verb", CALLED)
def test_what_the_table_names_is_typed_and_described(verb: str) -> None:
    owner, _, name = documented()[verb].partition(".")
    function = getattr({"pipeline": verbs.Pipeline, "verbs": verbs}[owner], name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert function.__doc__ and function.__doc__.strip()
    for each in signature.parameters.values():
        if each.name != "self":
            assert each.annotation is not inspect.Parameter.empty, each
            assert f"{each.name}:" in function.__doc__ or each.name in ("name", "workspace", "alias"), each


def test_all_names_are_there_and_nothing_heavy_is_loaded_for_them() -> None:
    for name in verbs.__all__:
        assert getattr(verbs, name).__name__ == name
    assert lifecycle.Pipeline is verbs.Pipeline
    code = (
        "import sys, lifecycle; from lifecycle import verbs; lifecycle.Pipeline; verbs.serve; verbs.promote; "
        "print([name for name in ('torch', 'mlflow', 'onnxruntime', 'bentoml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'deploy'; it offers: Pipeline, .*serve"):
        verbs.deploy  # noqa: B018
