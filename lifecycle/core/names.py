"""One module under several names."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def also_named(module: str, names: Iterable[str]) -> None:
    """Let ``import {module}.{name}`` find the module itself, for each of these names.

    Lightning spreads over the files of a folder what is offered in one module here; code that names those
    files (``from ….callbacks.early_stopping import EarlyStopping``) finds it all the same.
    """
    found = sys.modules[module]
    for name in names:
        sys.modules[f"{module}.{name}"] = found
        if "." not in name:
            setattr(found, name, found)
