"""All pages of the reference, by the names of their files."""

from __future__ import annotations

from pathlib import Path

from docs.generate import commands, http, pipeline_file, python, recorded

FOLDER = Path(__file__).parents[1] / "reference"
NOTE = "<!-- Made by `make docs`; what is written here by hand is lost. -->\n\n"


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
