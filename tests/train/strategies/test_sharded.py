"""Checkpoints that two processes write together: to the bit in two, and after gathering in any other number."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.strategies import FSDPStrategy
from lifecycle.train.callbacks.newest_checkpoint import newest_checkpoint
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.consolidate import main
from lifecycle.train.sharded.parts import mapped
from lifecycle.utilities import consolidate_checkpoint
from tests.train.strategies import parts
from tests.train.strategies.forked import run_ranks_anew
from tests.train.strategies.ranks import Classifier, batches, trainer, weights
from tests.train.strategies.test_ranks import close

Outcomes = dict[str, list[Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def one(folder: Path) -> Outcomes:
    return run_ranks_anew([parts.one_saves], folder, count=1)


@pytest.fixture(scope="module")
def two(folder: Path, one: Outcomes) -> Outcomes:
    return run_ranks_anew(
        [parts.undisturbed, parts.saved, parts.resumed, parts.other_ways, parts.broken, parts.full_disk],
        folder,
    )


@pytest.fixture
def middle(folder: Path, two: Outcomes) -> Path:
    return folder / "saved" / "middle.ckpt"


def test_each_process_writes_what_it_has(middle: Path) -> None:
    assert sorted(path.name for path in middle.iterdir()) == [
        "common.pt",
        "shard-00000.pt",
        "shard-00001.pt",
        "shards.json",
    ]
    first, second = (torch.load(middle / f"shard-0000{rank}.pt", weights_only=True) for rank in (0, 1))
    name = "state_dict/net.0.weight"
    assert (first[name].shape, second[name].shape) == ((4, 6), (4, 6))
    assert "optimizer_states/0/state/0/exp_avg" in second
    assert "loops/lifecycle/gradients/net.0.weight" in second


@pytest.mark.parametrize("rank", [0, 1])
def test_a_fit_goes_on_to_the_bit(two: Outcomes, rank: int) -> None:
    resumed = two["resumed"][rank]
    assert resumed["middle"] == two["undisturbed"][rank]
    assert resumed["last"] == two["undisturbed"][rank]
    assert resumed["from"] in (two["saved"][0]["best"], two["saved"][0]["last"])  # names of the same files


def test_the_best_and_the_last_are_kept_and_the_others_removed(folder: Path, two: Outcomes) -> None:
    kept = folder / "saved" / "kept"
    best = Path(two["resumed"][0]["best_path"])
    assert sorted(path.name for path in kept.iterdir()) == sorted([best.name, "last.ckpt"])
    assert two["saved"][0]["best"] != str(best)  # which was removed
    assert two["resumed"][0]["best"] == two["resumed"][1]["best"]
    alone = trainer(folder).test(Classifier(), batches(4, 13, shuffle=False), ckpt_path=best, verbose=False)
    assert alone[0] == pytest.approx(two["resumed"][0]["best"][0], abs=1e-6)


def test_one_process_goes_on_from_two(folder: Path, middle: Path, two: Outcomes) -> None:
    alone = parts.numbers(*parts.fitted(folder, ckpt_path=middle, dropout=0.0, strategy="auto"))
    for way in ("ddp", "fsdp"):
        for found in two["other_ways"]:
            assert close(found[way]["weights"], alone["weights"])
            assert close(found[way]["optimizer"], alone["optimizer"])


def test_two_processes_go_on_from_one(one: Outcomes, two: Outcomes) -> None:
    assert one["one_saves"][0]["files"] == ["common.pt", "shard-00000.pt", "shards.json"]
    for found in two["other_ways"]:
        assert close(found["one"]["weights"], one["one_saves"][0]["end"]["weights"])
        assert close(found["one"]["optimizer"], one["one_saves"][0]["end"]["optimizer"])


def test_it_becomes_the_file_that_the_first_process_would_have_written(
    folder: Path, two: Outcomes, tmp_path: Path
) -> None:
    parted, whole = folder / "saved" / "parted.ckpt", folder / "saved" / "whole.ckpt"
    made = consolidate_checkpoint(parted, tmp_path / "made.ckpt")
    assert flat(made) == flat(whole)
    assert main([str(parted)]) == 0
    assert flat(parted.with_name("parted.ckpt.consolidated")) == flat(whole)
    assert weights(Classifier.load_from_checkpoint(parted)) == weights(Classifier.load_from_checkpoint(whole))


def test_it_is_not_written_over_another_file(middle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(middle), "--output_file", str(middle / "shards.json")]) == 1
    assert capsys.readouterr().err == (
        f"{middle / 'shards.json'} exists already\nRemove it, or name another file.\n"
    )


def flat(path: Path) -> list[tuple[str, object]]:
    """Everything in a checkpoint, in its order."""
    found: list[tuple[str, object]] = []
    mapped(
        torch.load(path, weights_only=True),
        lambda name, value: found.append(
            (name, (value.dtype, value.tolist()) if isinstance(value, torch.Tensor) else value)
        ),
    )
    return found


HINT = "Copy the whole folder again from where it was written, or take an older checkpoint."


def remove(path: Path) -> str:
    path.unlink()
    return "it is missing"


def cut(path: Path) -> str:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-7])
    return f"it has {size - 7:,} bytes, and {size:,} were written"


def spoil(path: Path) -> str:
    """Change one bit of a weight."""
    data = bytearray(path.read_bytes())
    value = torch.load(path, weights_only=True)["state_dict/net.0.weight"]
    at = data.index(value.numpy().tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    return "the part of state_dict/net.0.weight in it is not what was written"


@pytest.mark.parametrize("damage", [remove, cut, spoil])
def test_a_damaged_shard_is_named(middle: Path, tmp_path: Path, damage: Any) -> None:
    copy = tmp_path / "copy.ckpt"
    shutil.copytree(middle, copy)
    what = damage(copy / "shard-00001.pt")
    with pytest.raises(ArtifactError) as caught:
        load_ckpt(copy)
    assert str(caught.value) == f"checkpoint {copy}: shard-00001.pt cannot be used: {what}\n{HINT}"


def test_what_is_common_is_checked_too(middle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ckpt"
    shutil.copytree(middle, copy)
    data = bytearray((copy / "common.pt").read_bytes())
    data[-100] ^= 1
    (copy / "common.pt").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"common\.pt cannot be used: it was changed since"):
        load_ckpt(copy)


def test_a_half_one_is_never_taken_for_a_whole_one(middle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ckpt"
    shutil.copytree(middle, copy)
    assert newest_checkpoint([tmp_path]) == copy
    (copy / "shard-00001.pt").unlink()
    with pytest.warns(UserWarning, match=r"shard-00001\.pt cannot be used: it is missing"):
        assert newest_checkpoint([tmp_path]) is None
    (copy / "shards.json").unlink()  # it is written last
    assert newest_checkpoint([tmp_path]) is None
    with pytest.raises(UsageError, match=r"is no checkpoint: it has no shards\.json"):
        load_ckpt(copy)


def test_when_something_is_raised_nothing_is_asked_of_the_others(folder: Path, two: Outcomes) -> None:
    for notes, names in two["broken"]:
        assert names == []
        said = "is not written: the state lies in several processes, and this one has failed"
        path = folder / "broken"
        assert sorted(notes) == [
            f"ModelCheckpoint could not save: {path / 'epoch=0-step=1.ckpt'} {said}",
            f"OnExceptionCheckpoint could not save: {path / 'on_exception.ckpt'} {said}",
        ]


def test_how_a_state_is_kept_is_one_of_two() -> None:
    with pytest.raises(
        UsageError, match=r"^FSDPStrategy\(state_dict_type='shared'\): did you mean 'sharded'"
    ):
        FSDPStrategy(state_dict_type="shared")  # type: ignore[arg-type]


def test_a_process_whose_disk_is_full_fails_the_save_for_all_and_training_goes_on(
    folder: Path, two: Outcomes
) -> None:
    first, second = two["full_disk"]
    path = folder / "full_disk" / "second.ckpt"
    (told,) = first["told"]
    assert told.startswith(f"checkpoint {path} could not be written: process 1: [Errno 27] File too large.")
    assert second["told"] == []  # once is enough
    assert first["names"] == ["first.ckpt", "third.ckpt"]  # nothing of it is left
    assert first["newest"] == str(path.with_name("third.ckpt"))
    assert (first["step"], second["step"]) == (6, 6)
