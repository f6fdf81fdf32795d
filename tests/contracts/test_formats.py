"""What holds for every format, built in or brought by another distribution."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lifecycle.core import plugins
from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.core.signature import Signature
from lifecycle.export.bundle import write_bundle
from lifecycle.export.formats import Format, format_of, formats, load_format
from lifecycle.export.network import Network, evaluating
from lifecycle.export.runtime import open_file, open_model
from lifecycle.export.settings import RunSettings, WriteSettings
from tests.docs.plugins import installed
from tests.export.networks import PAIR, Pair, pairs

POINTS = "[lifecycle.formats]\nzipped = own.format:ZIPPED\nonnx = tests.contracts:NOTHING\n"


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The distribution of docs/extending.md, which claims the name of a built-in format too."""
    with installed(tmp_path_factory.mktemp("site"), POINTS):
        yield


@pytest.fixture(scope="module")
def pair() -> Pair:
    torch.manual_seed(1)
    return Pair()


@pytest.fixture(scope="module")
def bundle(pair: Pair, own: None, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    into = tmp_path_factory.mktemp("contract") / "bundle"
    names = [format.name for format in formats()]
    return write_bundle(pair, signature=PAIR, formats=names, samples=pairs(9, 5), into=into)


@pytest.fixture(params=[*plugins.TABLES["formats"], "zipped"])
def format(request: pytest.FixtureRequest) -> Format:
    return load_format(request.param)


def test_the_table_holds_built_in_formats_and_those_of_others() -> None:
    assert {format.name for format in formats()} == {*plugins.TABLES["formats"], "zipped"}
    assert load_format("onnx").filename == "model.onnx"  # nobody replaces it


def test_names_and_files_tell_formats_apart(format: Format) -> None:
    assert load_format(format.name) is format
    assert format.summary and "\n" not in format.summary
    assert format_of(Path("any") / format.filename) is format
    assert sum(other.filename == format.filename for other in formats()) == 1


def test_the_file_answers_what_the_module_answers(format: Format, bundle: Artifact, pair: Pair) -> None:
    given = pairs(4, 11)
    expected = pair(*map(torch.from_numpy, given.values()))
    for threads in (1, 2):
        outputs = open_model(bundle, format.name, threads=threads).run(given)
        assert list(outputs) == ["scores", "pooled"]
        for name, array in outputs.items():
            torch.testing.assert_close(torch.from_numpy(array), expected[name])


def test_the_same_network_is_the_same_bytes(
    format: Format, bundle: Artifact, pair: Pair, tmp_path: Path
) -> None:
    network = Network(pair, PAIR, {name: array[[0, -1]] for name, array in pairs(9, 5).items()})
    path = tmp_path / "elsewhere"
    with evaluating(network):
        written = format.write(network, path, WriteSettings())
    assert path.read_bytes() == bundle.file(format.filename).read_bytes()
    assert written.way and all(attempt.reason for attempt in written.attempts)


def test_the_file_says_what_it_takes_and_gives(format: Format, bundle: Artifact) -> None:
    meaning = format.meaning(bundle.file(format.filename))
    told = Signature.from_json({"labels": [], "task": "", **meaning})
    assert (told.inputs, told.outputs) == (PAIR.inputs, PAIR.outputs)


def test_what_is_not_declared_is_refused_before_it_runs(format: Format, bundle: Artifact) -> None:
    model = open_model(bundle, format.name)
    with pytest.raises(UsageError, match="input 'ids': expected int64, got float64"):
        model.run(pairs(2, 3) | {"ids": np.zeros((2, 3))})


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_file_is_named(format: Format, bundle: Artifact, tmp_path: Path, damage: str) -> None:
    whole = bundle.file(format.filename).read_bytes()
    path = tmp_path / format.filename
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"\x07" * 5000}[damage])
    with pytest.raises(ArtifactError, match=re.escape(format.filename)):
        open_file(path, PAIR, format.name, settings=RunSettings())
    with pytest.raises(ArtifactError, match=re.escape(format.filename)):
        format.meaning(path)


def test_a_plug_in_that_is_no_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.TABLES["formats"], "odd", "pathlib:Path")
    plugins.table.cache_clear()
    with pytest.raises(UsageError, match=r"format 'odd' is a type, not a lifecycle\.export\.formats\.Format"):
        load_format("odd")
    monkeypatch.undo()
    plugins.table.cache_clear()
