"""Whether a stream is written to in colour: on terminals, unless the environment says otherwise.

`NO_COLOR <https://no-color.org>`_ forbids, then ``FORCE_COLOR`` and `CLICOLOR_FORCE
<https://bixense.com/clicolors/>`_ demand, then ``CLICOLOR=0`` and ``TERM=dumb`` forbid.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO


def colourful(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Whether what is written there may hold colours.

    >>> import io
    >>> colourful(io.StringIO(), {}), colourful(io.StringIO(), {"FORCE_COLOR": "1"})
    (False, True)
    >>> colourful(io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"})
    False
    """
    given = os.environ if environment is None else environment
    if given.get("NO_COLOR"):
        return False
    if given.get("FORCE_COLOR") or given.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    if given.get("CLICOLOR") == "0" or given.get("TERM") in ("dumb", "unknown"):
        return False
    return stream.isatty()
