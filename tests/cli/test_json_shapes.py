"""What ``--json`` prints, verb by verb, of one small real project: keys and kinds of values, written down."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.commands import CommandLine

SHAPES = Path(__file__).with_name("shapes.json")
QUICK = (
    "model_args.width=16",
    "train.trainer.max_epochs=8",
    "prune.epochs=1",
    "stages=[train,prune,export,evaluate,register]",
    "evaluate.steps=false",
    "evaluate.timed_calls=2",
    "budget.max_drop=1",
    "gates.test_acc={min: 0.1}",
)
# In this order; PATH is the bundle of the run. `predict` prints what the endpoint answers, which OpenAPI describes,
# and `compress --search` what takes minutes.
VERBS = {
    "plan": ("plan", "pipeline.yaml", *QUICK),
    "run": ("run", "pipeline.yaml", *QUICK),
    "run, cached": ("run", "pipeline.yaml", *QUICK),
    "plan, cached": ("plan", "pipeline.yaml", *QUICK),
    "train": ("train", "pipeline.yaml", *QUICK),
    "prune": ("prune", "pipeline.yaml", *QUICK),
    "compress": ("compress", "pipeline.yaml", *QUICK),
    "sensitivity": ("sensitivity", "pipeline.yaml", *QUICK),
    "export": ("export", "pipeline.yaml", *QUICK),
    "evaluate": ("evaluate", "pipeline.yaml", *QUICK),
    "export --formats": ("export", "--formats"),
    "export --show": ("export", "--show", "PATH"),
    "benchmark": ("benchmark", "PATH", "--calls", "4"),
    "config show": ("config", "show", "pipeline.yaml", *QUICK),
    "status, unpromoted": ("status",),
    "promote --dry-run": ("promote", "tumours", "--dry-run"),
    "promote": ("promote", "tumours"),
    "run, second version": ("run", "pipeline.yaml", *QUICK, "seed=8"),
    "promote, second": ("promote", "tumours"),
    "diff": ("diff", "tumours", "1", "2"),
    "history": ("history", "tumours"),
    "rollback": ("rollback", "tumours"),
    "status": ("status",),
    "gc": ("gc", "--keep-days", "0", "--keep-runs", "1"),
    "doctor": ("doctor",),
}


def shape(value: object) -> object:
    """Keys and kinds: objects by key, lists by what all of their items are."""
    match value:
        case dict():
            return {key: shape(each) for key, each in sorted(value.items())}
        case list():
            return [merged([shape(each) for each in value])] if value else []
        case bool():
            return "flag"
        case int() | float():
            return "number"
        case None:
            return "null"
        case _:
            return "text"


def merged(shapes: list[object]) -> object:
    """What fits all: a key that some lack ends in a question mark, kinds that differ are listed."""
    if all(isinstance(each, dict) for each in shapes):
        dicts = [each for each in shapes if isinstance(each, dict)]
        keys = sorted({key for each in dicts for key in each})
        return {
            key if all(key in each for each in dicts) else f"{key}?": merged(
                [d[key] for d in dicts if key in d]
            )
            for key in keys
        }
    if all(isinstance(each, list) for each in shapes):
        inner = [each[0] for each in shapes if isinstance(each, list) and each]
        return [merged(inner)] if inner else []
    kinds = sorted({each if isinstance(each, str) else json.dumps(each) for each in shapes})
    return kinds[0] if len(kinds) == 1 else " or ".join(kinds)


@pytest.mark.timeout(600)
def test_what_verbs_print_as_json_keeps_its_shape(
    lifecycle: CommandLine, empty_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert lifecycle("init", "tumours", "--template", "tabular").code == 0
    folder = tmp_path / "tumours"
    (folder / ".lifecycle").mkdir()
    shutil.copy(empty_store, folder / ".lifecycle" / "mlflow.db")
    monkeypatch.chdir(folder)
    found: dict[str, object] = {}
    bundle = ""
    for name, words in VERBS.items():
        ended = lifecycle(*(bundle if word == "PATH" else word for word in words), "--json", "--quiet")
        assert ended.code == 0, f"{name}: {ended.err}"
        said = json.loads(ended.out)
        if name == "export":
            bundle = said["path"]
        found[name] = shape(said)
    written = SHAPES.parents[2] / "build" / SHAPES.name  # which git ignores
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(found, indent=1) + "\n")
    before = json.loads(SHAPES.read_text())
    differing = {name: found.get(name) for name in found | before if found.get(name) != before.get(name)}
    assert differing == {}, f"If that is meant: cp {written} {SHAPES}, and a line in CHANGELOG.md"
