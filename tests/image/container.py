"""A process that an image starts: as its user, alone in its process space, without a terminal."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.image.build import Image
from tests.image.dockerfile import command_of
from tests.image.layers import inside, root_of


@dataclass(kw_only=True)
class Container:
    """What runs, and where it writes its log."""

    image: Image
    root: Path
    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    log: Path

    @property
    def first(self) -> int:
        """The number, outside, of what is process 1 inside."""
        number = self.process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        return int(children[0])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another command in the same root, as the same user: `docker exec`."""
        words = inside(self.root, command, self.environment, self.image.folder, self.image.who)
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    def wait_healthy(self, timeout_s: float = 120) -> float:
        """Run HEALTHCHECK's command until it ends with 0; returns the seconds that it took.

        Raises:
            SystemExit: the process ended, or it took too long.
        """
        assert self.image.health is not None, "the image has no HEALTHCHECK"
        command = command_of(self.image.health.text.removeprefix("CMD").strip())
        began = time.monotonic()
        while self.execute(*command).returncode:
            took = time.monotonic() - began
            if self.process.poll() is not None or took > timeout_s:
                raise SystemExit(f"not healthy after {took:.0f} s:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.5)
        return time.monotonic() - began

    def stop(self, number: int, timeout_s: float = 60) -> int:
        """Send a signal to process 1, as `docker stop` does; returns its exit code."""
        subprocess.run(["kill", f"-{number}", str(self.first)], check=True)
        return self.process.wait(timeout=timeout_s)


@contextmanager
def started(
    image: Image,
    work: Path,
    *,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    shown: Sequence[Path] = (),
) -> Iterator[Container]:
    """Start the image's ENTRYPOINT and CMD, or ENTRYPOINT and another command.

    Args:
        image: What to start.
        work: A folder to be, of this container.
        environment: More variables: `docker run -e`.
        command: In place of CMD.
        shown: Files and folders seen at the same paths, read-only.
    """
    names = {**image.environment, "HOME": "/home/lifecycle", **(environment or {})}
    words = [*image.entrypoint, *(command or image.command)]
    work.mkdir(parents=True)
    log = work / "log"
    with root_of(image.layers, work / "changes", shown, at=work / "root") as root, log.open("w") as file:
        process = subprocess.Popen(
            inside(root, words, names, image.folder, image.who),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Container(image=image, root=root, process=process, environment=names, log=log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=60)
