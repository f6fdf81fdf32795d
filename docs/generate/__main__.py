"""``python -m docs.generate``: writes docs/reference/ and the README's picture; with ``--check``, says what is not current."""

from __future__ import annotations

import sys

from docs.generate.pages import made, stale


def main(arguments: list[str]) -> None:
    """Write what is not current, and remove what is no page any more; or only say so."""
    files, wanted = stale(), made()
    if arguments == ["--check"]:
        sys.exit(f"not current: {', '.join(path.name for path in files)}; run `make docs`" if files else None)
    for path in files:
        if path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
