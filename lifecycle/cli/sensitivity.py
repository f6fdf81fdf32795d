"""``lifecycle sensitivity``: which layers hurt, as table and plot."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import Waiting, json_option, wait_option, workspace_option
from lifecycle.cli.outcomes import read
from lifecycle.cli.output import print_json, print_note, print_table


@click.command(
    cls=Waiting,
    examples="""
    lifecycle sensitivity pipeline.yaml
        What half the channels of each layer are worth.
    lifecycle sensitivity pipeline.yaml --change quantize --plot layers.svg
        What INT8 costs in each layer, as a plot too.
    """,
)
@click.argument("file", type=PipelineFile())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--change", type=click.Choice(["prune", "quantize"]), default="prune", show_default=True)
@click.option("--keep", type=float, default=0.5, show_default=True, help="Channels that a layer keeps.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write the plot to an SVG file."
)
@workspace_option
@wait_option
@json_option
def sensitivity(
    file: Path,
    overrides: tuple[str, ...],
    change: str,
    keep: float,
    plot: Path | None,
    workspace: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Change one layer after another of the trained model in FILE, and measure what that alone costs.

    The metric is the budget's, on the validation split; nothing is fine-tuned in between.
    """
    pipeline, place = read(file, overrides, workspace)
    from lifecycle.core.canonical import write_whole
    from lifecycle.report.plot import bars_svg
    from lifecycle.verbs.pipelines import sensitivity_of, sensitivity_title

    metric = pipeline.budget.metric or ""
    title = sensitivity_title(pipeline, change=change, keep=keep)
    effects = sensitivity_of(pipeline, place, change=change, keep=keep, wait_s=wait)  # type: ignore[arg-type]
    if plot is not None:
        write_whole(plot, bars_svg(title, [(each.layer, each.drop) for each in effects]).encode())
        print_note(f"The plot is in {plot}.")
    if as_json:
        print_json([each.to_json() for each in effects])
        return
    rows = [[e.layer, f"{e.metric:.4f}", f"{e.drop:+.4f}", f"{e.macs:.3f}"] for e in effects]
    print_table(f"One layer changed: {change}", ("layer", metric, "lost", "MACs"), rows)
