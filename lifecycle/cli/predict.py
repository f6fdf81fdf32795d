"""``lifecycle predict``: send rows, an array or images to a running endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import click

from lifecycle.cli.options import json_option
from lifecycle.cli.output import print_json, print_table, print_text
from lifecycle.cli.verb import Verb
from lifecycle.core.canonical import JSON

_SHOWN = 60  # characters of an output that has no label


@click.command(
    cls=Verb,
    examples="""
    lifecycle predict http://localhost:3000 digit.png
        The label of an image.
    lifecycle predict http://localhost:3000 rows.json --model digits --json
        Rows, of one model of several, as JSON.
    """,
)
@click.argument("url")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="Which model, where the server has several.")
@click.option(
    "--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds to wait for the answer."
)
@json_option
def predict(url: str, files: tuple[Path, ...], model: str | None, timeout_s: float, as_json: bool) -> None:
    """Send FILE to the endpoint at URL and show what it answers.

    FILE is a JSON list of rows, a .npy array whose first axis counts them, or an image; several images are
    several rows. A key that the endpoint asks for is taken from LIFECYCLE_API_KEY.
    """
    from lifecycle.client import ask, read_question

    answer = ask(url, read_question(files), model=model, timeout_s=timeout_s)
    if as_json:
        print_json(answer)
        return
    predictions = cast("list[Mapping[str, JSON]]", answer["predictions"])
    names = [file.name for file in files] if len(files) > 1 else list(map(str, range(len(predictions))))
    # A table's own title is broken to its width, and this table is narrow.
    print_text(f"{answer['model_name']} version {answer['model_version']}, {answer['latency_ms']} ms")
    columns, rows = _table(predictions, names)
    print_table("", columns, rows)


def _table(
    predictions: Sequence[Mapping[str, JSON]], names: Sequence[str]
) -> tuple[Sequence[str], list[list[str]]]:
    """Labels and probabilities, or every output where there are no labels."""
    if all("label" in item for item in predictions):
        labelled = [
            [name, str(item["label"]), _percent(item.get("probability"))]
            for name, item in zip(names, predictions, strict=True)
        ]
        return ("row", "label", "probability"), labelled
    outputs = list(predictions[0]) if predictions else []
    rows = [
        [name, *(_short(item.get(output)) for output in outputs)]
        for name, item in zip(names, predictions, strict=True)
    ]
    return ("row", *outputs), rows


def _percent(value: JSON) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "not finite"


def _short(value: JSON) -> str:
    import json

    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
