from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from lifecycle.callbacks import ModelCheckpoint
from lifecycle.train.callbacks.model_checkpoint import newest_checkpoint
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.writer import save_ckpt
from tests.train.callbacks.test_model_checkpoint import fit


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with the files of a fit: epoch=0-step=8.ckpt to epoch=2-step=24.ckpt, all of one time."""
    fit(ModelCheckpoint(tmp_path / "made", save_top_k=-1))
    for path in (tmp_path / "made").iterdir():
        at(path, 1000)
    return tmp_path / "made"


def at(path: Path, seconds: float) -> None:
    os.utime(path, ns=(int(seconds * 1e9), int(seconds * 1e9)))


def changed(path: Path, **values: Any) -> Path:
    """A copy of a checkpoint with other values, of the same time."""
    other = path.with_name(f"{'-'.join(values)}.ckpt")
    content: Any = load_ckpt(path)
    if "batches_seen" in values:
        content["loops"]["lifecycle"]["state"]["batches_seen"] = values.pop("batches_seen")
    save_ckpt(other, content | values)
    at(other, path.stat().st_mtime)
    return other


def test_the_one_that_was_written_last_is_the_newest(made: Path) -> None:
    at(made / "epoch=1-step=16.ckpt", 1000.001)
    assert newest_checkpoint([made]) == made / "epoch=1-step=16.ckpt"


def test_of_the_same_time_it_is_the_one_that_is_further(made: Path) -> None:
    assert newest_checkpoint([made]) == made / "epoch=2-step=24.ckpt"
    further = changed(made / "epoch=1-step=16.ckpt", batches_seen=25)
    assert newest_checkpoint([made]) == further


def test_folders_within_and_several_folders_are_looked_at(tmp_path: Path, made: Path) -> None:
    (tmp_path / "a" / "version_1" / "checkpoints").mkdir(parents=True)
    newer = (made / "epoch=0-step=8.ckpt").rename(tmp_path / "a" / "version_1" / "checkpoints" / "x.ckpt")
    at(newer, 2000)
    assert newest_checkpoint([made, tmp_path / "a"]) == newer
    assert newest_checkpoint([made, tmp_path / "nowhere"]) == made / "epoch=2-step=24.ckpt"


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint([]) is None
    assert newest_checkpoint([tmp_path, tmp_path / "nowhere"]) is None


@pytest.mark.parametrize("what", ["torn", "foreign", "text", "of another trainer", "empty"])
def test_what_is_no_checkpoint_is_passed_over_with_a_warning(made: Path, what: str) -> None:
    odd = made / "odd.ckpt"
    if what == "torn":
        odd.write_bytes((made / "epoch=2-step=24.ckpt").read_bytes()[:-100])
    elif what == "foreign":
        torch.save({"state_dict": {}}, odd)
    elif what == "of another trainer":
        save_ckpt(odd, load_ckpt(made / "epoch=2-step=24.ckpt") | {"loops": {"fit_loop": {}}})
    else:
        odd.write_bytes(b"" if what == "empty" else b"a text about checkpoints")
    at(odd, 2000)
    with pytest.warns(UserWarning, match=r"odd\.ckpt is no checkpoint that a fit can go on from: ."):
        assert newest_checkpoint([made]) == made / "epoch=2-step=24.ckpt"


def test_older_files_are_not_opened(made: Path) -> None:
    (made / "odd.ckpt").write_bytes(b"torn")
    at(made / "odd.ckpt", 999)
    assert newest_checkpoint([made]) == made / "epoch=2-step=24.ckpt"


def test_links_are_followed_and_those_that_lead_nowhere_passed_over(made: Path) -> None:
    (made / "last.ckpt").symlink_to("epoch=2-step=24.ckpt")
    (made / "dangling.ckpt").symlink_to("gone.ckpt")
    (made / "folder.ckpt").mkdir()
    found = newest_checkpoint([made])
    assert found is not None
    assert found.resolve() == made / "epoch=2-step=24.ckpt"


def test_parts_are_no_checkpoints(made: Path) -> None:
    (made / ".epoch=3-step=32.ckpt.4711.part").write_bytes(b"torn")
    assert newest_checkpoint([made]) == made / "epoch=2-step=24.ckpt"


def test_weights_alone_are_taken_where_there_is_nothing_else(tmp_path: Path, made: Path) -> None:
    fit(ModelCheckpoint(tmp_path / "weights", save_weights_only=True))
    weights = tmp_path / "weights" / "epoch=2-step=24.ckpt"
    at(weights, 3000)
    assert newest_checkpoint([tmp_path]) == made / "epoch=2-step=24.ckpt"
    assert newest_checkpoint([tmp_path / "weights"]) == weights


def test_a_fit_goes_on_from_the_newest_of_any_run(tmp_path: Path) -> None:
    from lifecycle.loggers import CSVLogger

    for epochs in (1, 2, 3):
        logger = CSVLogger(tmp_path, name="runs")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the checkpoint's ModelCheckpoint saved to")
            trainer = fit(ModelCheckpoint(), logger=logger, max_epochs=epochs, ckpt_path="last")
        run = epochs - 2
        before = tmp_path / f"runs/version_{run}/checkpoints/epoch={run}-step={8 * (run + 1)}.ckpt"
        assert trainer.ckpt_path == (None if epochs == 1 else str(before))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.ckpt")) == [
        f"runs/version_{run}/checkpoints/epoch={run}-step={8 * (run + 1)}.ckpt" for run in (0, 1, 2)
    ]
