from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, os, sys
from pathlib import Path
from lifecycle.connection import connect, users_environment
from lifecycle.workspace import Workspace

connect(Workspace(Path(sys.argv[1])), {})
names = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")
print(json.dumps([{name: each.get(name) for name in names} for each in (os.environ, users_environment())]))
"""


def test_a_server_is_given_the_users_patience_and_not_that_of_who_starts_it(tmp_path: Path) -> None:
    """It would notice a registry that hangs after a minute and a half, and not after twenty seconds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_HTTP_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "workspace")],
        env=kept | {"PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    here, servers = json.loads(done.stdout.splitlines()[-1])
    assert here == {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7"}
    assert servers == {"MLFLOW_HTTP_REQUEST_TIMEOUT": None, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7"}
