"""The scripts run: all are imported, and two are run from end to end as `make bench QUICK=1` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.figures.suite import SUITE

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=250, check=False
    )


def test_every_script_finds_what_it_imports() -> None:
    """In one process, since torch takes seconds to load."""
    scripts = sorted({Path(part).stem for one in SUITE for part in one.script if part.endswith(".py")})
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} >= set(scripts)
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    sys.path.insert(0, 'benchmarks')\n"  # as Python does for a script
        "    print(importlib.import_module(name).__file__)\n"
    )
    done = run("-c", code, *scripts)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("benchmarks/") == len(scripts)


def test_a_quick_run_prints_figures_and_keeps_none() -> None:
    results = ROOT / "benchmarks" / "results.json"
    before = results.read_bytes()
    done = run("benchmarks/run.py", "--quick", "--only", "export,gpu")
    assert done.returncode == 0, done.stderr
    assert "ours adds" in done.stdout and "added to a call, checks included" in done.stdout
    assert (
        "gpu found nothing to measure here (it needs a CUDA device)" in done.stdout or "CUDA" in done.stdout
    )
    assert "together" in done.stdout
    assert results.read_bytes() == before


def test_a_misspelt_name_is_told_before_anything_runs() -> None:
    done = run("benchmarks/run.py", "--only", "exports")
    assert done.returncode == 2
    assert "there is no benchmark 'exports'; there are trainer, pipeline, serve, " in done.stderr


def test_make_hands_its_words_on() -> None:
    done = subprocess.run(
        ["make", "-n", "bench", "ONLY=serve,trainer", "QUICK=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'benchmarks/run.py --only "serve,trainer" --quick' in done.stdout
