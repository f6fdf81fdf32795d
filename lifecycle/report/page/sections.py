"""The parts of the page, each from facts to tables and charts; a part without facts is left out."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.card.compose import compose
from lifecycle.core.budget import check_budget
from lifecycle.core.threshold import Threshold
from lifecycle.core.verdict import Row
from lifecycle.ledger import local_time
from lifecycle.report.page.charts import bars_svg, lines_svg
from lifecycle.report.page.confusion import confusion
from lifecycle.report.page.curves import families, lines_of, spread, stretches
from lifecycle.report.page.figures import COSTS, metric, seconds
from lifecycle.report.page.known import RunFacts
from lifecycle.report.page.models import before_after, latencies, step_by_step
from lifecycle.report.page.parity import parity
from lifecycle.report.page.section import Chart, Section
from lifecycle.report.page.steps import steps, without_steps
from lifecycle.report.page.table import Cell, Table, texts


def sections(facts: RunFacts) -> list[Section]:
    """All parts for which there is something to say, in the order of a run."""
    parts = (
        failed(facts),
        stages(facts),
        before_after(facts),
        step_by_step(facts),
        training(facts),
        steps(facts.curves),
        confusion(facts),
        latencies(facts),
        parity(facts),
        sensitivity(facts),
        verdict(facts),
        lineage(facts),
        environment(facts),
    )
    return [*(part for part in parts if part is not None), *card(facts)]


def failed(facts: RunFacts) -> Section | None:
    """Which stage ended the run, why, and what to do."""
    failure = facts.failure
    if failure is None:
        return None
    lines = tuple(line.strip() for line in failure.message.splitlines() if line.strip())
    kept = "What the stages before it made is kept: the same command goes on from there."
    hints = tuple(line.strip() for line in failure.hint.splitlines() if line.strip())
    reached = (kept,) if facts.outcomes else ()
    title = f"Failed in {failure.stage}"
    return Section(name="failed", title=title, texts=(*lines, *hints, *reached))


def _not_reached(facts: RunFacts) -> list[tuple[Cell, ...]]:
    """Rows of the stages that did not come to their end."""
    if facts.failure is None:
        return []
    rows = []
    for name in [*facts.pipeline.stages][len(facts.outcomes) :]:
        failed = name == facts.failure.stage
        state = Cell("failed", tone="bad") if failed else Cell("not reached", tone="quiet")
        rows.append((Cell(name), state, *(Cell("") for _ in range(7))))
    return rows


def stages(facts: RunFacts) -> Section:
    """What became of each stage."""
    rows = []
    for outcome in facts.outcomes:
        values, headline = outcome.artifact.numbers(), outcome.artifact.facts.get("headline")
        names = [str(name) for name in headline if name in values] if isinstance(headline, list) else []
        shown = Cell(f"{names[0]} {values[names[0]]:.4f}", values[names[0]]) if names else Cell("")
        costs = [COSTS[name][1](values.get(name)) for name in ("macs", "params", "size_bytes", "latency_ms")]
        state = Cell("cached", tone="quiet") if outcome.cached else Cell("ran")
        time = Cell("") if outcome.cached else seconds(outcome.seconds)
        rows.append((Cell(outcome.name), state, time, shown, *costs, Cell(outcome.artifact.digest[:12])))
    rows += _not_reached(facts)
    columns = ("stage", "result", "time", "metric", "MACs", "parameters", "size", "latency", "digest")
    return Section(
        name="stages",
        title="Stages",
        tables=(Table(caption="Stages of the run", columns=columns, rows=tuple(rows)).without_empty(),),
    )


def training(facts: RunFacts) -> Section | None:
    """What was logged while models were fitted, a chart for each quantity."""
    charts, curves = [], without_steps(facts.curves)
    for group, names in families(curves).items():
        lines = [line for line in lines_of(curves, names[:4]) if any(len(part) > 1 for part in line.parts)]
        if not lines:
            continue
        rows = [
            (Cell(stage), Cell(name), Cell(f"{step:g}", step), metric(value))
            for stage, metrics in curves.items()
            for name in names
            for step, value in spread(metrics.get(name, ()))
        ]
        caption = f"{group} by stage and step"
        table = Table(caption=caption, columns=("stage", "metric", "step", "value"), rows=tuple(rows))
        title = f"{', '.join(line.name for line in lines)} over the steps of {', '.join(curves)}"
        charts.append(Chart(title=group, svg=lines_svg(title, lines, stretches(curves)), table=table))
    return Section(name="training", title="Training", charts=tuple(charts)) if charts else None


def sensitivity(facts: RunFacts) -> Section | None:
    """What single layers cost."""
    charts = []
    for title, effects in facts.effects.items():
        rows = tuple((Cell(layer), Cell(f"{drop:+.4f}", drop)) for layer, drop in effects)
        table = Table(caption=title, columns=("layer", "lost"), rows=rows)
        charts.append(Chart(title=title, svg=bars_svg(title, effects[:20]), table=table))
    return Section(name="sensitivity", title="Sensitivity", charts=tuple(charts)) if charts else None


def verdict(facts: RunFacts) -> Section | None:
    """The budget that held, what promotion will ask for, and what it found if it was asked."""
    tables = []
    budget = judged(facts)
    if budget:
        tables.append(_verdict("Budget, on the validation split and by the file", budget))
    if gates := asked(facts):
        tables.append(_verdict("What promotion asks for, without a champion to compare with", gates))
    said = []
    entry = facts.promotion
    if entry is not None:
        forced = ", against its gates" if entry.forced else ""
        why = f": {entry.reason}" if entry.reason else ""
        said.append(f"Became {entry.alias} at {local_time(entry.at)}, by {entry.actor}{forced}{why}.")
        if entry.verdict:
            tables.append(_verdict("What its gates found then", list(entry.verdict)))
    if facts.artifact("version") is not None and not facts.gates:
        said.append("No gates are set: `lifecycle promote` will refuse it.")
    if not tables and not said:
        return None
    return Section(name="verdict", title="Budget and gates", texts=tuple(said), tables=tuple(tables))


def judged(facts: RunFacts) -> list[Row]:
    """The budget's rows: the metric on the validation split, everything else of the file."""
    known = facts.known
    first = known.first
    if first is None:
        return []
    *_, last = known.steps.values()
    measured, dense = last.numbers(), first.numbers()
    if known.evaluation is not None:
        before = known.evaluation.facts.get("dense")
        measured |= {name: value for name, value in known.evaluation.numbers().items() if name in COSTS}
        if isinstance(before, Mapping):
            dense |= {name: float(value) for name, value in before.items() if isinstance(value, int | float)}
    return check_budget(known.budget, measured, dense)


def asked(facts: RunFacts) -> list[Row]:
    """The thresholds of promotion, held against what evaluation measured."""
    evaluation = facts.artifact("evaluation")
    values = evaluation.numbers() if evaluation is not None else {}
    return [
        row
        for name, limits in facts.gates.items()
        for row in Threshold(**limits).judge(name, values.get(name), champion=None)
    ]


def _verdict(caption: str, rows: list[Row]) -> Table:
    return Table(
        caption=caption,
        columns=("term", "measured", "allowed", "verdict"),
        rows=tuple(
            (
                Cell(row.term),
                Cell(row.measured),
                Cell(row.limit),
                Cell("ok" if row.holds else "refused", tone="good" if row.holds else "bad"),
            )
            for row in rows
        ),
    )


def lineage(facts: RunFacts) -> Section | None:
    """What was made from what, by digest."""
    if not facts.outcomes:
        return None
    names = {outcome.artifact.digest: outcome.name for outcome in facts.outcomes}
    evaluation = facts.artifact("evaluation")
    data = evaluation.read_json("metrics.json").get("data") if evaluation is not None else None
    rows = []
    for outcome in facts.outcomes:
        artifact = outcome.artifact
        parent = names.get(artifact.parent, f"an earlier {artifact.parent[:12]}") if artifact.parent else ""
        digest, made = Cell(artifact.digest, tone="code"), str(artifact.facts.get("made", ""))[:16]
        source = Cell(parent or "code and data")
        rows.append((Cell(outcome.name), Cell(artifact.kind), source, digest, Cell(made.replace("T", " "))))
    columns = ("stage", "makes a", "from", "digest", "made, UTC")
    fingerprint = str(data)[:12] if data else "no fingerprint"
    said = []
    version = facts.artifact("version")
    if version is not None:
        content = version.read_json("version.json")
        said.append(f"Registered as {content['name']} version {content['number']}.")
    flow = [("code", str(facts.outcomes[-1].artifact.facts.get("sources", "not known"))[:12])]
    flow += [("data", fingerprint), *((name, digest[:12]) for digest, name in names.items())]
    return Section(
        name="lineage",
        title="Lineage",
        texts=tuple(said),
        flow=tuple(flow),
        tables=(Table(caption="What was made from what", columns=columns, rows=tuple(rows)),),
    )


def environment(facts: RunFacts) -> Section:
    """Machine, libraries, code, options."""
    newest = facts.outcomes[-1].artifact if facts.outcomes else None
    found = newest.facts if newest is not None else {}
    rows = [*facts.machine.items()]
    git = found.get("git")
    commit = git.get("commit") if isinstance(git, Mapping) else None
    dirty = " with changes" if isinstance(git, Mapping) and git.get("dirty") else ""
    rows.append(("git commit", f"{commit}{dirty}" if commit else "not in a git repository"))
    rows.append(("sources", str(found.get("sources", "not known"))[:12]))
    rows.append(("seed", str(facts.pipeline.seed)))
    rows.append(("MLflow run", facts.run_id or "none"))
    versions = found.get("versions")
    libraries = (
        [(name, str(text)) for name, text in versions.items() if text]
        if isinstance(versions, Mapping)
        else []
    )
    tables = [texts("Where it ran", ("", ""), rows)]
    if libraries:
        tables.append(texts("Libraries", ("library", "version"), libraries))
    return Section(name="environment", title="Environment", tables=tuple(tables))


def card(facts: RunFacts) -> list[Section]:
    """The model card, its parts below one title."""
    found = compose(facts.known)
    parts = [Section(name="card", title="Model card", texts=(found.summary,))]
    for number, part in enumerate(found.sections):
        tables = (texts(part.title, part.columns, part.rows),) if part.rows else ()
        parts.append(Section(name=f"card-{number}", title=part.title, texts=part.texts, tables=tables))
    return parts
