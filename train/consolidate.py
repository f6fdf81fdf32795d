"""One file out of a checkpoint of several processes: ``python -m lifecycle.train.consolidate FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.train.sharded.reading import Shards
from lifecycle.train.writer import save_ckpt


def consolidate_checkpoint(checkpoint_folder: str | Path, output_file: str | Path | None = None) -> Path:
    """Write a sharded checkpoint as the file that one process would have written; returns its path.

    It needs as much memory as the whole state takes, and no other process.

    Args:
        checkpoint_folder: As `FSDPStrategy` with ``state_dict_type="sharded"`` writes it.
        output_file: By default the folder's name with ``.consolidated`` appended.

    Raises:
        UsageError: there is no such checkpoint, or the file exists.
        ArtifactError: a file of it is missing or damaged; says which.
    """
    folder = Path(checkpoint_folder)
    into = folder.with_name(folder.name + ".consolidated") if output_file is None else Path(output_file)
    if into.exists():
        raise UsageError(f"{into} exists already", hint="Remove it, or name another file.")
    save_ckpt(into, Shards(folder).content())
    return into


def main(arguments: Sequence[str] | None = None) -> int:
    """What ``python -m`` runs; silent unless something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.train.consolidate", description=__doc__)
    parser.add_argument("checkpoint_folder", type=Path)
    parser.add_argument("--output_file", type=Path, help="by default FOLDER.consolidated")
    given = parser.parse_args(arguments)
    try:
        consolidate_checkpoint(given.checkpoint_folder, given.output_file)
    except LifecycleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
