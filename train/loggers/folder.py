"""What loggers have in common that write to a folder of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lifecycle.core.canonical import write_whole
from lifecycle.core.errors import UsageError
from lifecycle.train.loggers.base import Logger, Parameters
from lifecycle.train.loggers.parameters import by_name, plain
from lifecycle.train.loggers.versions import claim_version


class FolderLogger(Logger):
    """Writes to ``save_dir/name/version_N``.

    The folder is made when something is first written, or when its number is asked for; from then on it is
    this logger's, and no other process gets it.

    Args:
        save_dir: Below it lies everything; ``~`` and ``$VARIABLES`` are replaced.
        name: A folder below; None or ``""`` for none.
        version: A number for ``version_N``, or a folder's name; by default the next number. A folder that is
            there is continued.
        prefix: Begins every metric's name.

    Attributes:
        hparams: The hyperparameters so far.
    """

    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(
        self, save_dir: str | Path, name: str | None, version: int | str | None, prefix: str
    ) -> None:
        self._save_dir = os.fspath(save_dir)
        if "://" in self._save_dir:
            raise UsageError(
                f"{type(self).__name__}(save_dir={self._save_dir!r}): expected a folder of this machine",
                hint="Copy the folder when the run has ended, or log to a server with MLFlowLogger.",
            )
        self._name = name or ""
        self._version = version
        self._prefix = prefix
        self.hparams: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The folder that runs which belong together have in common; may be empty."""
        return self._name

    @property
    def version(self) -> int | str:
        """The number of the run, or the name of its folder; the next free one if none was given."""
        if self._version is None:
            self._version = claim_version(Path(_expanded(self.root_dir)))
        return self._version

    @property
    def save_dir(self) -> str:
        """Where everything is kept, as it was given."""
        return self._save_dir

    @property
    def root_dir(self) -> str:
        """Where all versions are kept."""
        return os.path.join(self._save_dir, self._name)

    @property
    def log_dir(self) -> str:
        """Where this version is kept."""
        version = self.version
        folder = version if isinstance(version, str) else f"version_{version}"
        return _expanded(os.path.join(self.root_dir, folder))

    def log_hyperparams(self, params: Parameters | None, *args: Any, **kwargs: Any) -> None:
        """Add to ``hparams.yaml``; what YAML has no type for is written as text."""
        import yaml

        self.hparams.update(by_name(params))
        text = yaml.safe_dump(plain(self.hparams), allow_unicode=True)
        write_whole(self.made() / self.NAME_HPARAMS_FILE, text.encode())

    def made(self) -> Path:
        """The folder of this version, which is there from now on."""
        folder = Path(self.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _expanded(path: str) -> str:
    return os.path.expanduser(os.path.expandvars(path))
