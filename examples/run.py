"""Runs the examples as their READMEs say, in a copy of this folder: all, or those that are named.

Of each README every block marked `sh` is typed line by line. A block marked `sh download` is left out: it
needs data that has to be fetched first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 900
SHOWN_LINES = 40


def main() -> None:
    known = sorted(path.parent.name for path in HERE.glob("*/README.md"))
    names = sys.argv[1:] or known
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no example {', '.join(unknown)}; there are: {', '.join(known)}")
    failed = []
    with tempfile.TemporaryDirectory(prefix="lifecycle-examples-") as folder:
        root = Path(folder)
        shutil.copytree(
            HERE, root / "examples", ignore=shutil.ignore_patterns(".lifecycle", "*logs", "__pycache__")
        )
        for place, name in enumerate(names, 1):
            print(f"[{place}/{len(names)}] {name}", flush=True)
            if not run_example(name, root):
                failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print(f"all {len(names)} examples work as written")


def run_example(name: str, root: Path) -> bool:
    """Type what the README says, from the folder above `examples`; whether all of it worked."""
    folder = root
    for line in commands((root / "examples" / name / "README.md").read_text()):
        if line.startswith("cd "):
            folder = folder / line.removeprefix("cd ")
            continue
        if not run_command(line, folder, root):
            return False
    return True


def commands(readme: str) -> list[str]:
    """The lines of its blocks marked `sh`."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    # Each block begins where the reader stands at first.
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def run_command(line: str, folder: Path, root: Path) -> bool:
    """Run one line; what it wrote is shown where it fails, and its last line where it does not."""
    print(f"  $ {line}", end="", flush=True)
    started = time.monotonic()
    with (root / "output").open("w+") as output:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(root),
            timeout=TIMEOUT_S,
        )
        output.seek(0)
        said = [text.rstrip() for text in output if text.strip()]
    print(f"   {time.monotonic() - started:.0f} s", flush=True)
    shown = said[-1:] if done.returncode == 0 else [*said[-SHOWN_LINES:], f"exit code {done.returncode}"]
    print("\n".join(f"      {text}" for text in shown), flush=True)
    return done.returncode == 0


def environment(root: Path) -> dict[str, str]:
    """That of a reader whose virtual environment is this one; what is installed goes into the copy alone."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LIFECYCLE_", "MLFLOW_TRACKING_", "MLFLOW_REGISTRY_"))
    }
    site = str(root / "site-packages")
    return kept | {
        "OMP_NUM_THREADS": kept.get("OMP_NUM_THREADS", "1"),  # networks too small to be shared among cores
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # The package is built with what is here and installed beside it: nothing is fetched, nothing stays.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_DEPS": "1",
        "PIP_TARGET": site,
        "PYTHONPATH": site,
    }


if __name__ == "__main__":
    main()
