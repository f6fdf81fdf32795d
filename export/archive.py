"""PyTorch's zip archives, written anew so that the same content is the same bytes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

_UNNEEDED = re.compile(r"\.debug_pkl$|/traced_inputs|/\.data/serialization_id$")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day that a zip can tell


def rewritten(
    content: bytes,
    change: Callable[[str, bytes], bytes],
    rename: Callable[[str], str] = str,
) -> bytes:
    """An archive without identifiers and debug records, with a fixed date and no compression.

    Args:
        content: The archive.
        change: From a record's name and bytes to the bytes to keep.
        rename: From a record's name to the name to keep.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            if not _UNNEEDED.search(name):
                target.writestr(zipfile.ZipInfo(rename(name), _EPOCH), change(name, source.read(name)))
    return buffer.getvalue()


def names(content: bytes) -> list[str]:
    """Names of all records."""
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        return source.namelist()
