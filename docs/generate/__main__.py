"""``python -m docs.generate``: writes docs/reference/; with ``--check``, says what is not current."""

from __future__ import annotations

import sys

from docs.generate.pages import FOLDER, reference


def main(arguments: list[str]) -> None:
    """Write every page, and remove what is no page any more; or only compare."""
    made = reference()
    there = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    if arguments == ["--check"]:
        sys.exit(f"not current: {', '.join(stale)}; run `make docs`" if stale else None)
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        if name in made:
            (FOLDER / name).write_text(made[name])
        else:
            (FOLDER / name).unlink()
        print(FOLDER / name)


if __name__ == "__main__":
    main(sys.argv[1:])
