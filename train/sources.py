"""Where loaders come from: what was passed to a verb, the data module, or the module itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.train.data import DataModule
from lifecycle.train.overridable import Overridable

if TYPE_CHECKING:
    from lifecycle.train.module import Module

SPLITS = ("train", "val", "test", "predict")


class Sources:
    """Asks for the loaders of a split when they are needed, and remembers them.

    Args:
        module: May bring loaders of its own.
        datamodule: Comes before the module.
        given: By split, what was passed; comes first.

    Attributes:
        loaders: By split, what was asked for so far.
    """

    def __init__(self, module: Module, datamodule: DataModule | None, given: Mapping[str, object]) -> None:
        self._module = module
        self._datamodule = datamodule
        self._given = {split: loaders for split, loaders in given.items() if loaders is not None}
        self.loaders: dict[str, object] = {}

    def has(self, split: str) -> bool:
        """Whether there is anything to iterate over."""
        return split in self._given or self._owner(split) is not None

    def load(self, split: str, *, anew: bool = False) -> object:
        """The loaders of a split.

        Raises:
            UsageError: there are none.
        """
        if split not in self.loaders or anew:
            self.loaders[split] = self._load(split)
        return self.loaders[split]

    def _load(self, split: str) -> object:
        if split in self._given:
            return self._given[split]
        owner = self._owner(split)
        if owner is None:
            raise UsageError(
                f"there is nothing to iterate over: pass loaders or datamodule=…, "
                f"or define {split}_dataloader in {type(self._datamodule or self._module).__name__}"
            )
        found = getattr(owner, f"{split}_dataloader")()
        if found is None and split == "train":
            raise UsageError(f"{type(owner).__name__}.{split}_dataloader returned None; return a DataLoader")
        return found

    def _owner(self, split: str) -> object | None:
        name = f"{split}_dataloader"
        for owner, base in ((self._datamodule, DataModule), (self._module, Overridable)):
            if owner is None:
                continue
            if name in vars(owner) or getattr(type(owner), name) is not getattr(base, name):
                return owner
        return None


def arguments(loaders: object, datamodule: DataModule | None) -> tuple[object, DataModule | None]:
    """Loaders and data module of a verb: a data module may be passed in place of loaders.

    Raises:
        UsageError: both were passed, or a class in place of what is made of it.
    """
    for given in (loaders, datamodule):
        if isinstance(given, type):
            raise UsageError(
                f"{given.__name__} is a class: pass what is made of it, as in {given.__name__}(…)"
            )
    if isinstance(loaders, DataModule):
        if datamodule is not None:
            raise UsageError("two data modules were passed: one in place of loaders, one as datamodule=…")
        return None, loaders
    if loaders is not None and datamodule is not None:
        raise UsageError("pass loaders or datamodule=…, not both")
    return loaders, datamodule


def is_empty(loaders: object) -> bool:
    """Whether there is no loader at all: None, or a sequence of none."""
    return loaders is None or (isinstance(loaders, Sequence) and len(loaders) == 0)
