"""All pages of the reference, by the names of their files."""

from __future__ import annotations

from pathlib import Path

from docs.generate import commands, demo, http, picture, pipeline_file, python, recorded

FOLDER = Path(__file__).parents[1] / "reference"
NOTE = "<!-- Made by `make docs`; what is written here by hand is lost. -->\n\n"


def made() -> dict[Path, str]:
    """Every file that is made: pages, and the README's picture."""
    pages = {FOLDER / name: text for name, text in reference().items()}
    pages[demo.ROOT / "README.md"] = demo.readme()
    return pages | {picture.FOLDER / name: text for name, text in picture.pictures().items()}


def stale() -> list[Path]:
    """Files that are not as they would be made now, or that would not be made at all."""
    wanted = made()
    there = {path: path.read_text() for path in [*FOLDER.glob("*.md"), *wanted] if path.is_file()}
    return sorted(path for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))


def reference() -> dict[str, str]:
    """Each page's text."""
    found = {
        "cli.md": (commands.TITLE, commands.page()),
        "pipeline-file.md": (pipeline_file.TITLE, pipeline_file.page()),
        "http.md": (http.TITLE, http.page()),
        "tracking.md": (recorded.TITLE, recorded.page()),
        **{f"{module.file}.md": (module.title, python.page(module)) for module in python.MODULES},
    }
    index = "".join(f"- [{title}]({name})\n" for name, (title, _) in found.items())
    head = "Made from docstrings, option types and the code's own tables (`make docs`); a test holds it to them.\n\n"
    found["README.md"] = "Reference", head + index
    return {name: f"# {title}\n\n{NOTE}{text.strip()}\n" for name, (title, text) in found.items()}
