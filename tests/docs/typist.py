"""Types a page of the documentation: its commands and file edits, in order, in one folder.

What a page says with its fenced blocks:

====================  ==================================================================
```` ```console ````        lines that begin with ``$ `` are typed into a shell (`` \\`` continues one); the
                      lines below each are what it prints
```` ```console server ```` one command, in a second terminal, where it stays until the next one; likewise ``lifecycle serve``
```` ```python FILE ````    the file's content; likewise ``yaml``, ``toml``, ``csv``
```` ```diff FILE ````      lines of the file to take out (``-``) and to put in (``+``), with those around
====================  ==================================================================

What is printed is compared loosely: numbers that were measured, digests and times may differ, ``…``
stands for anything, and a line of it alone for any lines. Everything else has to be there, in order.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lifecycle.core.ports import free_port
from tests.docs.pages import Block, blocks

FILES = {"python", "yaml", "toml", "csv", "json", "text"}
MEASURED = re.compile(r"[−+-]?[\d.,]*\d[\d.,:+-]*|[0-9a-f]{12}")
COUNTED = re.compile(r"\d{1,3}")  # a version, a count of stages: these must agree


class MistypedError(Exception):
    """What a page says is not what happened; says where and what."""


def expectation(line: str) -> str:
    """The pattern of a printed line."""
    words = [re.split(r"(…)", word) for word in line.split()]
    return r"\s+".join("".join(_piece(part) for part in word) for word in words)


def _piece(text: str) -> str:
    if text == "…":
        return ".*"
    bare = text.strip("()[],:;.%")
    if MEASURED.fullmatch(bare) and not COUNTED.fullmatch(bare):
        return re.escape(text).replace(re.escape(bare), r"\S+")
    return re.escape(text)


def compare(expected: list[str], printed: str) -> None:
    """Raise `MistypedError` unless each expected line is among the printed ones, in order."""
    lines = iter(re.sub(r"\x1b\[[\d;]*m", "", printed).splitlines())
    for line in expected:
        if not line.strip() or line.strip() == "…":
            continue
        pattern = re.compile(rf"\s*{expectation(line)}\s*")
        if not any(pattern.fullmatch(each) for each in lines):
            raise MistypedError(f"not printed, or not in this order: {line.strip()!r}\nprinted:\n{printed}")


class Typist:
    """One shell, its folder, and at most one server in a second terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = 0
        self.port = free_port("127.0.0.1", 0)
        self._server: subprocess.Popen[str] | None = None
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for name in [name for name in self.environment if name.startswith(("LIFECYCLE_", "MLFLOW_"))]:
            del self.environment[name]

    def type_page(self, page: Path) -> None:
        """Everything of a page, in order.

        Raises:
            MistypedError: names the block, the line and what was printed instead.
        """
        try:
            for block in blocks(page):
                self.type_block(block)
            self._ended_well("the page's end")
        finally:
            self.end_server()

    def type_block(self, block: Block) -> None:
        """One block."""
        try:
            if block.language == "console" and block.mark != "not typed":
                for command, expected in commands(block.text):
                    if "server" in block.words or command.startswith("lifecycle serve"):
                        self.end_server()
                        self._begin_server(command, expected)
                    else:
                        self._run(command, expected)
            elif block.language == "diff" and block.words:
                self._edit(self.folder / block.words[0], block.text)
            elif block.language in FILES and block.words:
                path = self.folder / block.words[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
        except MistypedError as error:
            raise MistypedError(f"{block}: {error}") from None

    def end_server(self) -> None:
        """Ctrl-C in the second terminal."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(timeout=60)
            self._server = None

    def _here(self, command: str) -> str:
        """The command with this run's port in place of the default one."""
        return command.replace("localhost:3000", f"localhost:{self.port}")

    def _ended_well(self, before: str) -> None:
        if self.code:
            raise MistypedError(f"the command before {before!r} ended with exit code {self.code}")

    def _run(self, command: str, expected: list[str]) -> None:
        if "$?" not in command:
            self._ended_well(command)
        print(f"{self.folder.name}$ {command}", flush=True)
        if command.startswith("cd "):
            self.folder = (self.folder / command.split()[1]).resolve()
            return
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.code}); {self._here(command)}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        self.code = done.returncode
        try:
            compare(expected, done.stdout.replace(f"localhost:{self.port}", "localhost:3000"))
        except MistypedError as error:
            raise MistypedError(f"$ {command}\n{error}") from None

    def _begin_server(self, command: str, expected: list[str]) -> None:
        command = re.sub(r"\s+#.*$", "", command)
        expected = expected or ["lifecycle serve: serving …"]
        print(f"{self.folder.name}$ {command} &", flush=True)
        log = self.folder / ".server.log"
        with log.open("w") as file:
            self._server = subprocess.Popen(
                ["bash", "-c", f"exec {command} --port {self.port}"],
                cwd=self.folder,
                env=self.environment,
                stderr=file,
                text=True,
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                said = log.read_text().replace(f":{self.port}", ":3000")
                return compare(expected, said)
            except MistypedError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _edit(self, path: Path, text: str) -> None:
        """Replace what stands before by what stands after, of one place or several."""
        content = path.read_text()
        for hunk in re.split(r"^@@.*\n", text, flags=re.MULTILINE):
            lines = hunk.splitlines()
            before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
            after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
            if content.count(before) != 1:
                raise MistypedError(f"{path.name} has {content.count(before)} places with\n{before}")
            content = content.replace(before, after)
        path.write_text(content)


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines below it."""
    command, expected = "", list[str]()
    continued = False
    for line in text.splitlines():
        if continued:
            command += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line.removeprefix("$ "), []
        else:
            expected.append(line)
            continue
        continued = command.endswith("\\")
    if command:
        yield command, expected
