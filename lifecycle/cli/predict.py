"""``lifecycle predict``: send rows to a running endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import click

from lifecycle.cli.options import json_option
from lifecycle.cli.output import print_json, print_table
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import LifecycleError, UsageError


@click.command()
@click.argument("url")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def predict(url: str, file: Path, as_json: bool) -> None:
    """Send the rows in FILE to the endpoint at URL and show what it answers.

    FILE is a JSON list of samples, or a .npy array whose first axis counts them.
    """
    answer = ask(url, read_rows(file))
    if as_json:
        print_json(answer)
        return
    predictions = cast("list[dict[str, JSON]]", answer["predictions"])
    rows = [
        [str(index), str(item.get("label", "")), _percent(item.get("probability"))]
        for index, item in enumerate(predictions)
    ]
    title = f"{answer['model_name']} version {answer['model_version']}, {answer['latency_ms']} ms"
    print_table(title, ("row", "label", "probability"), rows)


def read_rows(file: Path) -> JSON:
    """Samples as nested lists.

    Raises:
        UsageError: there is no such file, or it holds neither JSON nor an array.
    """
    if not file.is_file():
        raise UsageError(f"no file {file}")
    try:
        if file.suffix == ".npy":
            import numpy as np

            return cast("JSON", np.load(file, allow_pickle=False).tolist())
        return cast("JSON", json.loads(file.read_bytes()))
    except (ValueError, EOFError) as error:
        raise UsageError(f"{file} holds no rows: {error}; expected a JSON list or a .npy array") from None


def ask(url: str, rows: JSON) -> dict[str, JSON]:
    """Post rows to ``/predict``.

    Raises:
        UsageError: `url` is no http address.
        LifecycleError: the endpoint cannot be reached, says why it refuses, or is another kind of server.
    """
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if not url.startswith(("http://", "https://")):
        raise UsageError(f"'{url}' is no address of an endpoint; expected http://HOST:PORT")
    address = f"{url.rstrip('/')}/predict"
    request = Request(address, json.dumps({"rows": rows}).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=60) as response:
            answer = json.load(response)
    except HTTPError as error:
        text = error.read().decode(errors="replace")
        raise LifecycleError(f"{address} answered {error.code}: {text}") from None
    except OSError as error:
        raise LifecycleError(
            f"{address} cannot be reached: {getattr(error, 'reason', error)}",
            hint="Start it with: lifecycle serve models:/NAME@champion",
        ) from None
    except ValueError:
        raise LifecycleError(f"{address} did not answer with JSON: it is another kind of server") from None
    if not isinstance(answer, dict) or "predictions" not in answer:
        raise LifecycleError(f"{address} gave no predictions: it is another kind of server")
    return cast("dict[str, JSON]", answer)


def _percent(value: JSON) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else ""
