from __future__ import annotations

import json
import subprocess
import sys

from tests.cli.commands import DATA, CommandLine

LOADED = """\
import sys
from lifecycle.cli.main import main
try:
    main(["plan", "pipeline.yaml"])
except SystemExit as ended:
    assert not ended.code, ended.code
print("\\n" + " ".join(sys.modules), file=sys.stderr)
"""


def test_a_plan_of_what_never_ran_says_so(lifecycle: CommandLine) -> None:
    ended = lifecycle("plan", "pipeline.yaml")
    assert ended.code == 0 and ended.err == ""
    assert next(line.split() for line in ended.out.splitlines() if "never" in line) == [
        "train",
        "run",
        "never",
        "ran",
    ]
    assert "1 to run; how long it takes is not known: none of them ran before." in ended.out
    assert not (lifecycle.folder / ".lifecycle").exists(), "a plan leaves nothing behind"


def test_a_plan_for_programs(lifecycle: CommandLine) -> None:
    content = json.loads(lifecycle("plan", "pipeline.yaml", "--json").out)
    assert content == {
        "stages": [
            {
                "stage": "train",
                "action": "run",
                "reasons": ["never ran"],
                "last_seconds": None,
                "digest": None,
            }
        ],
        "estimate": {"seconds": 0.0, "stages_without_a_time": 1},
        "changed_files": [],
    }


def test_a_plan_imports_neither_frameworks_nor_the_project(lifecycle: CommandLine) -> None:
    text = "import lifecycle as pl\nimport elsewhere\nraise SystemExit('imported')\n"
    lifecycle.write("elsewhere.py", "raise SystemExit('imported')\n")
    lifecycle.write("model.py", f"{text}class Net(pl.Module):\n    def __init__(self, width=1): pass\n")
    lifecycle.write("data.py", text + DATA)
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=lifecycle.folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.splitlines()[-1].split())
    assert loaded & {"torch", "mlflow", "onnx", "onnxruntime", "bentoml", "elsewhere"} == set()


def test_a_plan_of_a_wrong_file_says_what_is_allowed(lifecycle: CommandLine) -> None:
    ended = lifecycle("plan", "pipeline.yaml", "prun.macs=0.1")
    assert ended.code == 2
    assert "unknown key 'prun': did you mean 'prune'?" in ended.err
