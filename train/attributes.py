"""Options that users keep where they like: on the module, on the data module, or in their hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from lifecycle.core.errors import UsageError

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module


class Attribute:
    """An option by its name, in every place that has it.

    Args:
        module: May have it as an attribute or among its ``hparams``.
        datamodule: Likewise.
        names: What it may be called; the first that is found counts.

    Raises:
        UsageError: no place has it.
    """

    def __init__(self, module: Module, datamodule: DataModule | None, *names: str) -> None:
        for name in names:
            self.name = name
            self._owners = [
                owner for owner in (module, datamodule) if owner is not None and hasattr(owner, name)
            ]
            self._mappings = list(_hparams(module, datamodule, name))
            if self._owners or self._mappings:
                return
        wanted = " or ".join(f"'{name}'" for name in names)
        places = [type(owner).__name__ for owner in (module, datamodule) if owner is not None]
        have = "has" if len(places) == 1 else "have"
        raise UsageError(f"{' and '.join(places)} {have} no attribute {wanted}, nor such a hyperparameter")

    def read(self) -> Any:
        """Its value; an attribute counts before a hyperparameter, the data module's before the module's."""
        return getattr(self._owners[-1], self.name) if self._owners else self._mappings[-1][self.name]

    def write(self, value: object) -> None:
        """Set it in every place."""
        for owner in self._owners:
            setattr(owner, self.name, value)
        for mapping in self._mappings:
            mapping[self.name] = value


def _hparams(module: Module, datamodule: DataModule | None, name: str) -> Iterator[MutableMapping[str, Any]]:
    for owner in (module, datamodule):
        found = getattr(owner, "hparams", None)
        if found is not None and name in found:
            yield found
