"""A published archive, fetched once: downloaded, checked, and unpacked into a folder."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from download import Part, receive_all, say
from filelock import FileLock, Timeout

from lifecycle.core.canonical import sync
from lifecycle.core.errors import LifecycleError


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A tar file whose publisher states its MD5.

    Attributes:
        url: Where it is.
        md5: What it has.
        folder: The folder in it.
        sizes: The files of that folder that are wanted, with their bytes (None for any number).
    """

    url: str
    md5: str
    folder: str
    sizes: Mapping[str, int | None]

    @property
    def name(self) -> str:
        """Of the file."""
        return self.url.rpartition("/")[2]

    def faults(self, folder: Path) -> list[str]:
        """Which of the wanted files are missing in a folder, or have another size."""
        found = []
        for name, size in self.sizes.items():
            path = folder / name
            if not path.is_file():
                found.append(f"{name} is missing")
            elif size not in (None, path.stat().st_size):
                found.append(f"{name} has {path.stat().st_size:,} bytes instead of {size:,}")
        return found


def fetch(archive: Archive, into: Path, *, pause_s: float = 1.0) -> Path:
    """The folder with the archive's files: downloaded and unpacked, unless they are there already.

    An archive that lies in `into` is used as it is, so that a machine without a network can be given one.

    Args:
        archive: What to fetch.
        into: Where archive and folder lie.
        pause_s: Before a second attempt; doubled with each that brings nothing.

    Raises:
        LifecycleError: it cannot be had, or is not what its publisher says.
    """
    folder = into / archive.folder
    if archive.faults(folder):
        into.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(into / f".{archive.name}.lock"):
            if archive.faults(folder):  # still: nobody else has done it meanwhile
                path = into / archive.name
                if not path.is_file():
                    download(archive, path, pause_s)
                verify(path, archive.md5, "Delete it and run this again.")
                unpack(archive, path, folder)
    return folder


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock; says so where that takes waiting."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is fetching this ({path}); waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def download(archive: Archive, to: Path, pause_s: float) -> None:
    """Write the archive to `to`, whole and verified; goes on with what an earlier process left."""
    part = Part(to.with_name(f"{to.name}.part"))
    went_on = part.size > 0
    receive_all(archive.url, part, to, pause_s)
    if went_on and md5_of(part.path) != archive.md5:
        say(f"{part.path} began with something else; downloading {archive.name} from its start")
        part.begin(0, "")
        receive_all(archive.url, part, to, pause_s)
    again = (
        "It was deleted: run this again. If that does not help, something on the way changes it: "
        f"get {archive.url} by other means and put it to {to}."
    )
    try:
        verify(part.path, archive.md5, again)
    except LifecycleError:
        part.delete()
        raise
    part.path.replace(to)
    part.delete()


def verify(path: Path, md5: str, hint: str) -> None:
    """Raise `LifecycleError` unless a file has this MD5."""
    got = md5_of(path)
    if got != md5:
        raise LifecycleError(f"{path} is damaged: its MD5 is {got}, expected {md5}", hint=hint)


def md5_of(path: Path) -> str:
    """Hexadecimal MD5 of a file: enough against damage, and what the publisher states."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def unpack(archive: Archive, path: Path, folder: Path) -> None:
    """Write the wanted files aside, check their sizes, and put them in place at once."""
    aside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
    say(f"unpacking {path}")
    wanted = {f"{archive.folder}/{name}" for name in archive.sizes}
    try:
        with tarfile.open(path) as tar:
            # Plain files of these names only: no link is followed. The filter keeps all below `aside`.
            members = [member for member in tar if member.name in wanted and member.isreg()]
            tar.extractall(aside, members, filter="data")
        if faults := archive.faults(aside / archive.folder):
            raise LifecycleError(f"{path} does not hold what is expected: {'; '.join(faults)}")
        for name in archive.sizes:
            sync(aside / archive.folder / name)
        if folder.exists():
            shutil.rmtree(folder)
        (aside / archive.folder).replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
