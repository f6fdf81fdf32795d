from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.cli.main import VERBS
from tests.cli.commands import DATA, CommandLine

ROOT = Path(__file__).parents[2]


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are loaded after a piece of code ran in a process of its own."""
    script = f"{code}\nimport sys; print('\\n' + ' '.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


def test_help_of_every_verb_loads_no_framework() -> None:
    code = "from lifecycle.cli.main import main\n"
    for words in (["--help"], *([verb, "--help"] for verb in VERBS)):
        code += f"try:\n    main({words!r})\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
    heavy = {"torch", "mlflow", "pydantic", "bentoml", "onnx", "onnxruntime", "numpy", "rich", "yaml"}
    assert loaded_by(code) & heavy == set()


@pytest.mark.parametrize(
    "code", ["import lifecycle", "import lifecycle.callbacks", "import lifecycle as pl; dir(pl)"]
)
def test_the_import_loads_no_framework(code: str) -> None:
    assert (
        loaded_by(code) & {"torch", "mlflow", "pydantic", "bentoml", "onnx", "onnxruntime", "numpy"} == set()
    )


def test_help_lists_every_verb_with_its_purpose(lifecycle: CommandLine) -> None:
    shown = lifecycle("--help")
    assert (shown.code, shown.err) == (0, "")
    for verb in VERBS:
        assert f"\n  {verb} " in shown.out
    assert lifecycle("-h").out == shown.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(lifecycle: CommandLine, verb: str) -> None:
    shown = lifecycle(verb, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"Usage: lifecycle {verb} [OPTIONS]")
    assert len(shown.out.splitlines()) > 5


def test_the_version_is_told(lifecycle: CommandLine) -> None:
    assert lifecycle("--version").out == "lifecycle, version 0.1.0\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rnu", "x"], "Error: no verb 'rnu': did you mean 'run'? Allowed: "),
        (["run"], "Error: Missing argument 'FILE'."),
        (["run", "pipeline.yaml", "--jason"], "Error: No such option '--jason'. Did you mean '--json'?"),
        (
            ["run", "pipeline.yaml", "--max_epochs=3"],
            "is set without dashes, as in train.trainer.max_epochs=3",
        ),
        (["serve"], "Error: Missing argument 'MODEL...'."),
        (["--verbos"], "Error: No such option '--verbos'"),
        (
            ["serve", "x", "--port", "http"],
            "Error: Invalid value for '--port': 'http' is not a valid integer.",
        ),
    ],
)
def test_wrong_usage_ends_with_2_and_a_message(
    lifecycle: CommandLine, words: list[str], message: str
) -> None:
    ended = lifecycle(*words)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("source", "code", "message", "status"),
    [
        (
            "raise KeyboardInterrupt",
            130,
            "error: interrupted; the same command goes on from here\n",
            "KILLED",
        ),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
            143,
            "error: terminated; the same command goes on from here\n",
            "KILLED",
        ),
        (
            "class Data(Data):\n    def fingerprint(self): raise RuntimeError('disk on fire')",
            1,
            "error: RuntimeError: disk on fire\nIt was raised at data.py:{line}, in fingerprint.\nRun it again with `lifecycle -v …` for the traceback.\n",
            "FAILED",
        ),
        (
            "import no_such_package",
            2,
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'\n",
            "FAILED",
        ),
        (
            "class Data: pass",
            2,
            "error: data.py:Data is no lifecycle.DataModule: write `class Data(lifecycle.D",
            "FAILED",
        ),
    ],
)
def test_however_a_run_ends_exit_code_message_and_status_agree(
    lifecycle: CommandLine, source: str, code: int, message: str, status: str
) -> None:
    lifecycle.write("data.py", DATA + source + "\n")
    ended = lifecycle("run", "pipeline.yaml")
    assert (ended.code, ended.out) == (code, "")
    assert message.replace("{line}", str(len((DATA + source).splitlines()))) in ended.err
    assert "Traceback" not in ended.err
    client = MlflowClient(f"sqlite:///{lifecycle.folder}/.lifecycle/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == [status]


def test_a_traceback_is_for_those_who_ask_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    from lifecycle.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["-v", "run", "missing.yaml"])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "error: no file missing.yaml" in shown


def test_a_second_signal_does_not_interrupt_the_cleaning_up() -> None:
    """Terminated while it terminates, a run still gets its status."""
    script = (
        "import os, signal, sys, time\n"
        "from lifecycle.cli import main as command\n"
        "def work(**options):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1); print('cleaned up')\n"
        "command.cli.main = work\n"
        "command.main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (143, "cleaned up\n")
    assert done.stderr == "error: terminated; the same command goes on from here\n"


def test_an_interrupt_that_a_library_turns_into_an_error_is_one_still() -> None:
    """Imports that are interrupted half-way tend to fail with errors of their own."""
    script = (
        "import os, signal\n"
        "from lifecycle.cli import main as command\n"
        "def work(**options):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        raise AttributeError('module is half imported') from None\n"
        "command.cli.main = work\n"
        "command.main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "error: interrupted; the same command goes on from here\n"


def test_the_installed_command_says_what_is_wrong_without_a_traceback(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("lifecycle")
    done = subprocess.run(
        [command, "run", "missing.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no file missing.yaml: nor any other pipeline file beside it\n" + (
        "Go to the folder that has one, or begin a project with: lifecycle init NAME\n"
    )
