from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.core.stage import scratch
from lifecycle.pipeline import libraries
from lifecycle.pipeline.plan import estimate
from tests.pipeline.plain import Pipeline

ALL = ["train", "prune", "export", "register"]
NET = "import layers\nclass Net:\n    '''A net.'''\n    def __init__(self, width=1): pass\n    def forward(self): return 1\n"


@pytest.fixture
def ran(pipeline: Pipeline) -> Pipeline:
    """A pipeline that has run once."""
    (pipeline.root / "model.py").write_text(NET)
    pipeline.run()
    return pipeline


def why(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """Reasons of the stages that would run."""
    return {name: each.reasons for name, each in pipeline.plan().items() if each.action != "cached"}


def write(name: str, text: str) -> Callable[[Pipeline], Pipeline]:
    def edit(pipeline: Pipeline) -> Pipeline:
        (pipeline.root / name).write_text(text)
        return pipeline

    return edit


def test_before_anything_ran_everything_is_to_run(pipeline: Pipeline) -> None:
    planned = pipeline.plan()
    assert {name: (each.action, each.reasons) for name, each in planned.items()} == {
        name: ("run", ("never ran",)) for name in ALL
    }
    assert estimate(list(planned.values())) == (0.0, 4)


def test_after_a_run_everything_is_cached_and_its_time_is_known(ran: Pipeline) -> None:
    planned = list(ran.plan().values())
    assert [each.action for each in planned] == ["cached"] * 4
    assert all(each.last_s is not None for each in planned)
    assert estimate(planned) == (0.0, 0)


@pytest.mark.parametrize(
    ("edit", "reasons"),
    [
        (lambda p: p.changed("train", text="other"), ("train.text trained → other",)),
        (
            lambda p: p.changed("train", trainer={"max_epochs": 3}),
            ("train.trainer.max_epochs unset → 3",),
        ),
        (lambda p: p.changed(seed=8), ("seed 7 → 8",)),
        (lambda p: p.changed(model_args={"width": 3}), ("model_args.width unset → 3",)),
        (lambda p: p.changed(data="data-2"), ("data changed",)),
        (lambda p: p.changed(data=None), ("data cannot be fingerprinted",)),
        (write("model.py", NET.replace("return 1", "return 2")), ("model.py: Net.forward changed",)),
        (
            write("model.py", NET + "    def extra(self): return 1\n"),
            ("model.py: Net.extra added",),
        ),
        (
            write("model.py", NET.replace("class Net:", "class Net(object):")),
            ("model.py: Net changed",),
        ),
        (write("layers.py", "value = 2\n"), ("layers.py: module level changed",)),
        (
            write("model.py", NET.replace("import layers\n", "")),
            ("layers.py removed", "model.py: module level changed"),
        ),
        (
            write("model.py", "import inspect\n" + NET),
            ("model.py: its text changed",),
        ),
    ],
)
def test_each_change_is_named(
    ran: Pipeline, edit: Callable[[Pipeline], Pipeline], reasons: tuple[str, ...]
) -> None:
    found = why(edit(ran))
    assert found["train"] == reasons
    assert "upstream reran" in found["prune"]


@pytest.mark.parametrize(
    "edit",
    [
        write("model.py", NET.replace("A net.", "Another text.") + "# A comment.\n"),
        write("model.py", NET.replace("return 1", "return  (1)")),
        write("unrelated.py", "value = 2\n"),
    ],
)
def test_what_cannot_change_a_result_is_no_reason(
    ran: Pipeline, edit: Callable[[Pipeline], Pipeline]
) -> None:
    assert why(edit(ran)) == {}


def test_docstrings_count_where_the_code_reads_them(ran: Pipeline) -> None:
    text = NET.replace("return 1", "return self.__doc__")
    (ran.root / "model.py").write_text(text)
    ran.run()
    (ran.root / "model.py").write_text(text.replace("A net.", "Another text."))
    assert why(ran)["train"] == ("model.py: its text changed",)


def test_an_option_of_a_later_stage_leaves_the_earlier_ones_cached(ran: Pipeline) -> None:
    assert why(ran.changed("export", text="smaller")) == {
        "export": ("export.text exported → smaller",),
        "register": ("upstream reran",),
    }


def test_a_version_is_named_with_what_it_was(ran: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    known = libraries._version
    was = known("torch")
    monkeypatch.setattr(libraries, "_version", lambda name: "99.0" if name == "torch" else known(name))
    assert why(ran)["train"] == (f"torch {was} → 99.0",)


def test_the_nearest_of_the_runs_before_is_compared_with(ran: Pipeline) -> None:
    ran.changed("train", text="second").run()
    ran.changed("train", text="third").run()
    second = ran.changed("train", text="second")
    assert why(second) == {}
    assert why(second.changed(seed=8))["train"] == ("seed 7 → 8",)


def test_a_result_that_is_gone_or_damaged_is_built_again(ran: Pipeline) -> None:
    train, prune = (next((ran.cache / name).iterdir()) for name in ("train", "prune"))
    (prune / "text").write_bytes((prune / "text").read_bytes()[::-1])
    assert why(ran) == {
        "prune": ("output missing or damaged",),
        "export": ("upstream reran",),
        "register": ("upstream reran",),
    }
    shutil.rmtree(train)
    assert why(ran)["train"] == ("output missing or damaged",)


def test_work_that_was_stopped_is_gone_on_with(ran: Pipeline) -> None:
    changed = ran.changed("train", text="fails")
    with pytest.raises(RuntimeError):
        changed.run()
    planned = changed.plan()
    assert (planned["train"].action, planned["train"].reasons) == ("resume", ("train.text trained → fails",))
    assert planned["prune"].action == "run"


def test_a_folder_without_work_is_nothing_to_go_on_with(pipeline: Pipeline) -> None:
    pipeline.run()
    key = next((pipeline.cache / "train").iterdir())
    shutil.rmtree(key)
    scratch(key)
    assert pipeline.plan()["train"].action == "run"


def test_the_run_does_what_the_plan_says(ran: Pipeline) -> None:
    changed = ran.changed("prune", text="pruned more")
    assert list(why(changed)) == changed.ran() == ["prune", "export", "register"]


def test_data_that_cannot_be_told_apart_is_never_reused(pipeline: Pipeline) -> None:
    unknown = pipeline.changed(data=None)
    assert unknown.ran() == ALL
    # What it makes here are the same bytes: registering them again depends on nothing else.
    assert unknown.ran() == ["train", "prune", "export", "register"]


def test_a_torn_line_of_the_journal_does_not_count(ran: Pipeline) -> None:
    path = ran.journal.path
    path.write_bytes(path.read_bytes() + b'{"stage": {"pipeline": "dig')
    assert why(ran) == {}
    assert ran.changed("export", text="x").ran() == ["export", "register"]
    assert why(ran.changed("export", text="x")) == {}


def test_without_a_journal_what_is_there_is_used(ran: Pipeline) -> None:
    ran.journal.path.unlink()
    assert why(ran) == {}
    assert ran.ran() == []
    assert why(ran.changed(seed=8))["train"] == ("seed 7 → 8",)


def test_a_copied_project_has_the_same_plan(ran: Pipeline, tmp_path: Path) -> None:
    shutil.copytree(ran.root, tmp_path / "copy")
    assert why(ran.changed(root=tmp_path / "copy")) == {}
