"""``make tutorial``: types the tutorial, and the README's project, into empty folders; says where it is not as the page says.

The folder is kept when something fails. Other pages may be named: ``python -m tests.docs.run_tutorial docs/x.md``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.pages import ROOT
from tests.docs.typist import MistypedError, Typist

PAGES = ("docs/tutorial.md", "README.md")


def main(named: list[str]) -> None:
    """Type each page into a folder of its own."""
    for page in named or PAGES:
        folder = Path(tempfile.mkdtemp(prefix="tutorial-"))
        begun = time.monotonic()
        try:
            Typist(folder).type_page((ROOT / page).resolve())
        except MistypedError as error:
            sys.exit(f"{error}\n\nEverything is left in {folder}.")
        shutil.rmtree(folder)
        print(f"{page}: as it says, in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
