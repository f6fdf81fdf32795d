"""Every example says what it shows and what to type, and its pipeline file is one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.core import plugins
from lifecycle.pipeline.spec import read_pipeline
from tests.examples.folders import EXAMPLES, imported

FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/README.md"))


def test_every_folder_has_a_readme() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == {folder.name for folder in FOLDERS}
    assert len(folders) == 8


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_readme_has_commands_and_links_that_lead_somewhere(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert re.search(r"^```sh\n", text, re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (folder / target).exists(), target
    scripts = re.findall(r"^(?:python|torchrun \S+) (\S+\.py)", text, re.MULTILINE)
    for script in scripts:
        assert (folder / script).is_file() or (EXAMPLES.parent / script).is_file(), script


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/pipeline.yaml")), ids=lambda path: path.parent.name)
def test_a_pipeline_file_can_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.parent.name == "low_rank":  # brings its stage itself, once it is installed
        monkeypatch.syspath_prepend(path.parent / "plugin")
        known = {**plugins.table("stages"), "low_rank": "low_rank.stage:LowRank"}
        others = plugins.table
        monkeypatch.setattr(plugins, "table", lambda family: known if family == "stages" else others(family))
    pipeline = read_pipeline(path, {})
    assert list(pipeline.stages)[-1] == "register", "every example is registered"
    assert pipeline.stages["register"].gates["test_acc"]["min"] >= 0.6  # type: ignore[attr-defined]


def test_what_is_typed_stands_in_blocks_that_are_marked_so(tmp_path: Path) -> None:
    readme = (
        "```sh\ncd a\n\npython b.py\n```\n```sh download\npython far.py\n```\n```\nout\n```\n```sh\nc\n```\n"
    )
    with imported(EXAMPLES, "run") as (run,):
        assert run.commands(readme) == ["cd a", "python b.py", "c"]
        (tmp_path / "examples" / "one").mkdir(parents=True)
        note = tmp_path / "examples" / "one" / "README.md"
        note.write_text("```sh\ncd examples\necho $OMP_NUM_THREADS > here\n```\n")
        assert run.run_example("one", tmp_path)
        assert (tmp_path / "examples" / "here").read_text() == "1\n"
        note.write_text("```sh\nfalse\ntouch after\n```\n")
        assert not run.run_example("one", tmp_path) and not (tmp_path / "after").exists()
    done = subprocess.run([sys.executable, EXAMPLES / "run.py", "digit"], capture_output=True, text=True)
    assert done.returncode == 1 and "no example digit; there are: cifar10, digits, from_python" in done.stderr
