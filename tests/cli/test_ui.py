from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.cli.commands import CommandLine


def test_it_shows_mlflow_on_this_machine_alone_until_ctrl_c(tmp_path: Path, empty_store: Path) -> None:
    (tmp_path / ".lifecycle").mkdir()
    shutil.copy(empty_store, tmp_path / ".lifecycle" / "mlflow.db")
    code = "from lifecycle.cli.main import main; main(['ui'])"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.communicate()
        with urlopen(url, timeout=60) as page:
            assert b"MLflow" in page.read()
        family = psutil.Process(process.pid).children(recursive=True)
        listening = {
            each.laddr.ip
            for one in family
            for each in one.net_connections()
            if each.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "Ctrl-C ends it.\n")
        _, alive = psutil.wait_procs(family, timeout=60)
        assert alive == []
    finally:
        process.kill()


def test_a_port_that_is_taken_is_named(lifecycle: CommandLine, store: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = lifecycle("ui", "--port", str(port))
    assert ended.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.err


def test_a_server_has_pages_of_its_own(lifecycle: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")
    ended = lifecycle("ui")
    assert (ended.code, ended.out) == (0, "https://mlflow.example.com\n")
    assert not os.path.exists(".lifecycle")
