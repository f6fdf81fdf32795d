"""What all tests share: an environment of their own, and the rule for system packages that may be absent."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Taken out of the environment, where every other LIFECYCLE_… variable sets an option of a pipeline.
FORBID_SKIPS = os.environ.pop("LIFECYCLE_FORBID_SKIPS", "") == "1"
ABSENT = re.compile(r"the Debian package '(.+)' is not installed$")
BENTOML_HOME = tempfile.mkdtemp(prefix="lifecycle-tests-bentoml-")

# Set before a test imports the libraries that read them, and inherited by the processes that tests start.
os.environ |= {
    "BENTOML_DO_NOT_TRACK": "True",
    "BENTOML_HOME": BENTOML_HOME,
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Several processes share few cores: one thread in each.
    "OMP_NUM_THREADS": "1",
    # Official builds send the names of models to their vendor from 1.29 on.
    "ORT_DISABLE_TELEMETRY": "1",
}
# As on most machines: that sealed artifacts stay whole where Python writes bytecode is to be seen here.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# The tests know nothing of the tracking server and the options of whoever runs them.
for name in [
    name for name in os.environ if name.startswith(("LIFECYCLE_", "MLFLOW_TRACKING_", "MLFLOW_REGISTRY_"))
]:
    del os.environ[name]


# A busy machine may hold any example up for longer than Hypothesis' 200 ms, and the making of its first ten for a second.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store in which nothing is yet: making its tables takes seconds, copying them does not."""
    from lifecycle.tracking import connect
    from lifecycle.workspace import Workspace

    workspace = Workspace(tmp_path_factory.mktemp("store"))
    connect(workspace, {})
    return workspace.path / "mlflow.db"


@pytest.fixture
def client(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of a real store of the test's own, in whose folder the test runs."""
    from lifecycle.tracking import connect
    from lifecycle.workspace import Workspace

    workspace = Workspace(tmp_path / ".lifecycle")
    workspace.path.mkdir()
    shutil.copy(empty_store, workspace.path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return connect(workspace, {})


# Files that take minutes begin first: at the end they would be waited for, one by one.
LONGEST = (
    "train/test_chaos.py",
    "stages/test_cache.py",
    "stages/test_digits.py",
    "tracking/test_server.py",
    "pipeline/test_chaos.py",
    "test_ledger.py",
    "cli/test_promotion.py",
    "serve/following/test_following.py",
    "compress/test_networks.py",
    "train/strategies/test_launch.py",
    "train/strategies/test_ranks.py",
    "examples/test_two_processes.py",
    "compress/test_families.py",
    "cli/test_json_shapes.py",
    "tracking/test_recorder.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all others as they were found."""
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process that runs a part of the tests (pytest-xdist) what was taken out of the environment."""
    node.workerinput["forbid_skips"] = FORBID_SKIPS


def pytest_unconfigure() -> None:
    shutil.rmtree(BENTOML_HOME, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose system package is absent, or fail it where the package was to be installed."""
    forbidden = getattr(item.config, "workerinput", {}).get("forbid_skips", FORBID_SKIPS)
    for package in _absent(item):
        if forbidden:
            pytest.fail(
                f"the Debian package '{package}' is not installed, and skipping is forbidden", pytrace=False
            )
        pytest.skip(f"the Debian package '{package}' is not installed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests did not run, and what would make them."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])]
    absent = Counter(found[1] for reason in reasons if (found := ABSENT.search(reason)))
    for package, count in sorted(absent.items()):
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(
            f"NOTICE: {tests} skipped: the Debian package '{package}' is not installed "
            f"(apt-get install {package})",
            yellow=True,
        )


def _absent(item: pytest.Item) -> Iterator[str]:
    for marker in item.iter_markers("needs"):
        package, *executable = marker.args
        if shutil.which(executable[0] if executable else package) is None:
            yield package


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command line that a test runs in this process listens for signals ever after: nobody else does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
