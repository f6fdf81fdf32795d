"""The README's picture of a pipeline, drawn from its stages: what each consumes and produces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lifecycle.core.plugins import TABLES
from lifecycle.pipeline.plugin import load_stage
from lifecycle.pipeline.runner import check_order
from lifecycle.pipeline.spec import ORDER

FOLDER = Path(__file__).parents[1]
WIDTH, HEIGHT, MARGIN = 900, 320, 24
BOX, GAP, TALL = 112, 36, 78
# What a stage does, in the few words that fit its box.
SAID = {
    "train": ("a Lightning module,", "resumes exactly"),
    "prune": ("channels go,", "fine-tuned"),
    "quantize": ("INT8, static", "or trained"),
    "export": ("ONNX, proven", "equal"),
    "evaluate": ("the file, on", "held-out data"),
    "register": ("in MLflow, with", "all measurements"),
}


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Of one theme."""

    ink: str
    soft: str
    box: str
    line: str
    accent: str
    band: str


THEMES = {
    "pipeline.svg": Colours(
        ink="#1f2328", soft="#59636e", box="#ffffff", line="#8c959f", accent="#0969da", band="#f6f8fa"
    ),
    "pipeline-dark.svg": Colours(
        ink="#f0f6fc", soft="#9198a1", box="#0d1117", line="#656c76", accent="#4493f8", band="#151b23"
    ),
}


def pictures() -> dict[str, str]:
    """Each theme's drawing, by the name of its file."""
    return {name: _drawn(colours) for name, colours in THEMES.items()}


def _drawn(colours: Colours) -> str:
    parts = "\n".join(_parts(colours))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{colours.ink}">\n'
        f"<title>{escape(_said())}</title>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{colours.line}"/></marker></defs>\n{parts}\n</svg>\n'
    )


def _said() -> str:
    makes = ", ".join(f"{name} makes a {load_stage(name).produces}" for name in ORDER)
    return f"A module and its data go through the stages: {makes}. A version that passes its gates is champion and served."


def _parts(colours: Colours) -> Iterator[str]:
    check_order({name: load_stage(name) for name in ORDER})  # the picture shows what the planner allows
    assert set(SAID) == set(TABLES["stages"]) == set(ORDER)
    top, below = 62, 218
    yield _band(colours, MARGIN - 12, 20, WIDTH - 24, 150, "lifecycle run pipeline.yaml")
    for place, name in enumerate(ORDER):
        left = MARGIN + place * (BOX + GAP)
        yield _box(colours, left, top, name, SAID[name])
        yield _text(left + BOX / 2, top + TALL + 20, load_stage(name).produces, colours.soft, italic=True)
        if place:
            yield _arrow(colours, [(left - GAP + 2, top + TALL / 2), (left - 3, top + TALL / 2)])
    last = MARGIN + (len(ORDER) - 1) * (BOX + GAP)
    steps = (
        (last, "promote", ("gates, beside the", "champion, now")),
        (last - 2 * (BOX + GAP), "serve", ("follows the", "champion")),
        (last - 4 * (BOX + GAP), "clients", ("HTTP: OIP V2,", "images, a page")),
    )
    for left, name, said in steps:
        yield _box(colours, left, below, name, said)
    yield _arrow(colours, [(last + BOX / 2, top + TALL + 26), (last + BOX / 2, below - 3)])
    for (left, _, _), text in zip(
        steps, ("models:/NAME@champion", "answers name their version"), strict=False
    ):
        yield _arrow(colours, [(left - 3, below + TALL / 2), (left - BOX - 2 * GAP + 3, below + TALL / 2)])
        yield _text(left - BOX / 2 - GAP, below + TALL / 2 - 8, text, colours.soft, italic=True)


def _band(colours: Colours, left: float, top: float, width: float, height: float, text: str) -> str:
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="10" fill="{colours.band}"/>'
        f'<text x="{left + 12}" y="{top + 24}" font-family="ui-monospace, monospace" fill="{colours.accent}">$ {escape(text)}</text>'
    )


def _box(colours: Colours, left: float, top: float, name: str, said: tuple[str, str]) -> str:
    middle = left + BOX / 2
    lines = "".join(
        _text(middle, top + 46 + 16 * place, line, colours.soft) for place, line in enumerate(said)
    )
    return (
        f'<rect x="{left}" y="{top}" width="{BOX}" height="{TALL}" rx="8" fill="{colours.box}" stroke="{colours.line}"/>'
        f'<text x="{middle}" y="{top + 24}" text-anchor="middle" font-size="15" font-weight="600">{name}</text>{lines}'
    )


def _text(x: float, y: float, text: str, colour: str, *, italic: bool = False) -> str:
    style = ' font-style="italic"' if italic else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-size="11.5" fill="{colour}"{style}>{escape(text)}</text>'


def _arrow(colours: Colours, points: list[tuple[float, float]]) -> str:
    way = "L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{way}" fill="none" stroke="{colours.line}" stroke-width="1.5" marker-end="url(#tip)"/>'
