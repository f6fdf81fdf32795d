"""``lifecycle compress``: a pipeline file up to its smallest checkpoint, or a search over ways there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast, get_args

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import Waiting, json_option, wait_option, workspace_option
from lifecycle.cli.outcomes import read, run_reported, show
from lifecycle.cli.output import print_json, print_note, print_table
from lifecycle.core.errors import UsageError, suggest


@click.command(
    cls=Waiting,
    examples="""
    lifecycle compress pipeline.yaml
        Up to the smallest checkpoint of the file.
    lifecycle compress pipeline.yaml --search --macs 1,0.5,0.25 --quantize none,static
        Try six ways, and show which of them nothing beats.
    """,
)
@click.argument("file", type=PipelineFile())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--search", is_flag=True, help="Try combinations, and show which of them nothing beats.")
@click.option(
    "--macs", default="1,0.5,0.25,0.1", show_default=True, help="Targets to search; 1 is no pruning."
)
@click.option("--importance", default="magnitude,lamp", show_default=True, help="Criteria to search.")
@click.option("--quantize", default="none,static,qat", show_default=True, help="Quantization to search.")
@workspace_option
@wait_option
@json_option
def compress(
    file: Path,
    overrides: tuple[str, ...],
    search: bool,
    macs: str,
    importance: str,
    quantize: str,
    workspace: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Run the pipeline in FILE up to its last compressing stage; or, with --search, many ways to compress.

    A search goes on where it was stopped. KEY=VALUE sets an option for this run, as in: prune.epochs=20
    """
    pipeline, place = read(file, overrides, workspace)
    if search:
        from lifecycle.compress.search import Quantization, all_trials
        from lifecycle.search import search as run_search
        from lifecycle.search import write_results

        trials = all_trials(
            _numbers(macs), _names(importance), cast("list[Quantization]", _quantizations(quantize))
        )
        found = run_search(pipeline, trials, place, wait_s=wait)
        metric = pipeline.budget.metric or ""
        paths = write_results(found, place.path / "search", metric)
        if as_json:
            print_json([each.to_json() for each in found])
        else:
            rows = [
                [
                    f"{'*' if each.best else ' '} {each.trial.name}",
                    f"{each.metric:.4f}",
                    f"{each.latency_ms:.3f} ms",
                    f"{each.size_bytes / 1e3:.1f} kB",
                    f"{each.macs:.3f}",
                    "outside" if each.refused else "",
                ]
                for each in found
            ]
            print_table(
                "Trials (* nothing within the budget beats it)",
                ("trial", metric, "latency", "ONNX file", "MACs", "budget"),
                rows,
            )
        print_note("Written: " + ", ".join(os.path.relpath(path) for path in paths))
        return
    from lifecycle.verbs.pipelines import up_to

    last = next((name for name in ("quantize", "prune") if name in pipeline.stages), "prune")
    pipeline = up_to(pipeline, last)
    outcomes, page = run_reported(pipeline, place, wait_s=wait)
    print_note(f"Report: {page}")
    show(f"Pipeline {pipeline.project.name}, up to {last}", outcomes, as_json=as_json)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",") if word]
    except ValueError:
        raise UsageError(
            f"--macs is '{text}': expected fractions separated by commas, as in 1,0.5,0.25"
        ) from None


def _names(text: str) -> list[str]:
    from lifecycle.compress.options import ImportanceName

    names = [word.strip() for word in text.split(",") if word.strip()]
    for name in names:
        if name not in get_args(ImportanceName):
            raise UsageError(f"--importance names '{name}': {suggest(name, get_args(ImportanceName))}")
    return names


def _quantizations(text: str) -> list[str]:
    names = [word.strip() for word in text.split(",") if word.strip()]
    allowed = ("none", "static", "qat")
    for name in names:
        if name not in allowed:
            raise UsageError(f"--quantize names '{name}': {suggest(name, allowed)}")
    return names
