"""A disk that is full: the run ends with a word about it, and goes on when there is room again."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from tests.pipeline.plain import plain_project

ROOT = Path(__file__).parents[2]
# Past a limit on the size of a file the system says so as it does of a full disk: by an error of the write.
SCRIPT = """\
import resource, signal, sys; from pathlib import Path
from tests.pipeline.plain import plain_project
from lifecycle.cli.main import _show
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
pipeline = plain_project(Path(sys.argv[1])).changed("export", text="x" * 200_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    pipeline.run()
except OSError as error:
    _show(error, verbose=False)
    sys.exit(7)
"""


def test_a_full_disk_ends_a_run_that_goes_on_later(tmp_path: Path) -> None:
    pipeline = plain_project(tmp_path / "project")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(pipeline.root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 7, done.stderr
    assert "File too large" in done.stderr
    assert "Make room: the same command goes on from here." in done.stderr
    assert not list((pipeline.cache / "export").glob("[!.]*")), "nothing half is visible"
    assert pipeline.changed("export", text="x" * 200_000).ran() == ["export", "register"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
