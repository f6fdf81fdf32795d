"""``lifecycle export``: files proven equal to the module; or what a file says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import Waiting, json_option, wait_option, workspace_option
from lifecycle.cli.outcomes import read, run_reported
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.core.errors import UsageError

if TYPE_CHECKING:
    from lifecycle.core.artifact import Artifact
    from lifecycle.pipeline.spec import Pipeline


@click.command(
    cls=Waiting,
    examples="""
    lifecycle export pipeline.yaml --format onnx --format torchscript
        Both files, proven equal to the module.
    lifecycle export --show model.onnx
        What a file says of itself.
    lifecycle export --formats
        Which formats there are.
    """,
)
@click.argument("file", required=False, type=PipelineFile())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--format", "names", multiple=True, help="A format to write; again for more. [pipeline file]")
@click.option("--formats", "listing", is_flag=True, help="List the formats and stop.")
@click.option(
    "--show", "shown", type=click.Path(path_type=Path), help="Print what a file or bundle says of itself."
)
@workspace_option
@wait_option
@json_option
def export(
    file: Path | None,
    overrides: tuple[str, ...],
    names: tuple[str, ...],
    listing: bool,
    shown: Path | None,
    workspace: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Run the pipeline in FILE up to its export; stages whose result is there already are not run again.

    Every file is run back and compared with the module. Exit code 3 means that one differs; then nothing is
    kept but the figures.
    """
    if listing:
        _list_formats(as_json)
    elif shown is not None:
        _show(shown, as_json)
    elif file is None:
        hint = "Such as: lifecycle export pipeline.yaml, or lifecycle export --show FILE"
        raise UsageError("nothing to export: name a pipeline file", hint=hint)
    else:
        _run(file, (*overrides, *_formats(names)), workspace, wait, as_json)


def _list_formats(as_json: bool) -> None:
    from lifecycle.export.formats import formats

    rows = [[format.name, format.filename, format.summary] for format in formats()]
    if as_json:
        print_json([{"name": name, "file": file, "summary": summary} for name, file, summary in rows])
    else:
        print_table("Formats", ("format", "file", ""), rows)


def _show(path: Path, as_json: bool) -> None:
    from lifecycle.export.showing import show, table

    found = show(path)
    if as_json:
        print_json(found)
        return
    print_text(str(found["file"]))
    rows = table(found)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print_text(f"  {name.ljust(width)}  {value}")


def _run(file: Path, overrides: tuple[str, ...], workspace: Path | None, wait: float, as_json: bool) -> None:
    pipeline, place = read(file, overrides, workspace)
    outcomes, page = run_reported(_until_export(pipeline), place, wait_s=wait)
    bundle = outcomes[-1].artifact
    print_note(f"Report: {page}")
    if as_json:
        parity = bundle.read_json("parity.json")
        print_json({"digest": bundle.digest, "path": str(bundle.path), "parity": parity})
        return
    _report(bundle)


def _until_export(pipeline: Pipeline) -> Pipeline:
    names = list(pipeline.stages)
    if "export" not in names:
        raise UsageError("the pipeline file has no export stage", hint="Add to it: export: {formats: [onnx]}")
    kept = names[: names.index("export") + 1]
    return replace(pipeline, stages={name: pipeline.stages[name] for name in kept})


def _formats(names: tuple[str, ...]) -> tuple[str, ...]:
    return (f"export.formats=[{', '.join(names)}]",) if names else ()


def _report(bundle: Artifact) -> None:
    from lifecycle.export.comparison import COLUMNS, table_of

    print_table("File against module", COLUMNS, table_of(bundle.read_json("parity.json")))
    print_text(f"Bundle {bundle.digest[:12]} in {bundle.path}")
    print_note(f"Next: lifecycle export --show {bundle.path}")
