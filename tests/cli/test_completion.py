"""Completion, as shells ask for it, and in a real bash."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import PIPELINE, CommandLine

COMMAND = Path(sys.executable).with_name("lifecycle")
# What a person does: load the script, type, press the tabulator key twice.
BASH = """\
source "$1"
COMP_WORDS=(lifecycle "${@:2}"); COMP_CWORD=$(($# - 1))
compopt() { :; }
_lifecycle_completion lifecycle
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "notes.txt").write_text("")
    for key, name in (("a1", "digits"), ("b2", "dogs"), ("c3", "digits")):
        folder = tmp_path / ".lifecycle" / "cache" / "register" / key
        folder.mkdir(parents=True)
        (folder / "version.json").write_text(json.dumps({"name": name, "number": 1}))
    (tmp_path / ".lifecycle" / "cache" / "register" / "c3" / "version.json").write_text("{half")
    return tmp_path


def offered(folder: Path, *words: str) -> list[str]:
    """What is offered for the last word: its kind, and after a comma the word."""
    asked = {
        "_LIFECYCLE_COMPLETE": "bash_complete",
        "COMP_WORDS": shlex.join(["lifecycle", *words[:-1]]) + " " + words[-1],
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [COMMAND], cwd=folder, env=os.environ | asked, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["p"], ["plain,plan", "plain,prune", "plain,promote", "plain,predict", "plain,package"]),
        (["run", "pi"], ["plain,pipeline.yaml"]),
        (["run", "no"], ["file,no"]),
        (["promote", ""], ["plain,digits", "plain,dogs"]),
        (["history", "do"], ["plain,dogs"]),
        (["history", "--workspace", "elsewhere", ""], []),
        (["init", "x", "--template", "t"], ["plain,tabular"]),
        (["config", "s"], ["plain,schema", "plain,show"]),
        (["completion", ""], ["plain,bash", "plain,zsh", "plain,fish"]),
        (["gc", "--keep-d"], ["plain,--keep-days"]),
    ],
)
def test_what_fits_is_offered(project: Path, words: list[str], found: list[str]) -> None:
    assert offered(project, *words) == found


def test_the_script_completes_in_bash(project: Path, lifecycle: CommandLine) -> None:
    script = lifecycle("completion", "bash")
    assert (script.code, script.err) == (0, "")
    (project / "script").write_text(script.out)
    path = f"{COMMAND.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", BASH, "bash", "./script", "roll"],
        cwd=project,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("rollback\n", "")


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "#compdef lifecycle"), ("fish", "complete --no-files")])
def test_other_shells_have_a_script_of_their_own(lifecycle: CommandLine, shell: str, sign: str) -> None:
    assert sign in lifecycle("completion", shell).out


def test_an_unknown_shell_is_refused(lifecycle: CommandLine) -> None:
    ended = lifecycle("completion", "csh")
    assert ended.code == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in ended.err
