"""``lifecycle train``, ``quantize`` and ``evaluate``: the stages up to one, and no further."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import CommandLine

QUICK = (
    "model_args.width=16",
    "train.trainer.max_epochs=2",
    "quantize={method: static}",
    "stages=[train,quantize,export,evaluate,register]",
    "evaluate.steps=false",
    "evaluate.timed_calls=2",
    "budget.max_drop=1",
    "budget.max_macs=null",
)


@pytest.mark.timeout(300)
def test_stages_up_to_one_are_run_and_no_further(
    lifecycle: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert lifecycle("init", "tumours", "--template", "tabular").code == 0
    monkeypatch.chdir(tmp_path / "tumours")
    done: list[str] = []
    for verb, new in (("train", ["train"]), ("quantize", ["quantize"]), ("evaluate", ["export", "evaluate"])):
        ended = lifecycle(verb, "pipeline.yaml", *QUICK, "--json")
        assert ended.code == 0, ended.err
        rows = json.loads(ended.out)
        assert [row["stage"] for row in rows if not row["cached"]] == new
        assert [row["stage"] for row in rows if row["cached"]] == done
        done += new
    assert "test_acc" in rows[-1]["metrics"]
    assert json.loads(lifecycle("status", "--json").out) == []  # nothing is registered


def test_a_stage_that_the_file_does_not_have_is_told_with_how_to_add_it(lifecycle: CommandLine) -> None:
    ended = lifecycle("quantize", "pipeline.yaml")
    assert ended.code == 2
    assert "the pipeline file has no 'quantize': its stages are train" in ended.err
    assert "quantize.method=static" in ended.err
