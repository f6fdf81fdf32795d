from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lifecycle.callbacks import Checkpoint, OnExceptionCheckpoint
from lifecycle.core.errors import UsageError
from lifecycle.train.checkpoint import load_ckpt
from tests.train.small import Regression, loader, quiet, same, seeded


class Breaking(Regression):
    """Raises something in a step."""

    error: type[BaseException] = RuntimeError

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 8:
            raise self.error("broken")
        return super().training_step(batch, batch_idx)


class Interrupted(Breaking):
    error = KeyboardInterrupt


def broken(folder: Path, module: type[Breaking]) -> Path:
    callback = OnExceptionCheckpoint(folder, filename="rescue")
    with pytest.raises(module.error, match="broken"):
        quiet(max_epochs=3, callbacks=[callback]).fit(seeded(module), loader(shuffle=True))
    assert callback.ckpt_path == str(folder / "rescue.ckpt")
    return folder / "rescue.ckpt"


@pytest.mark.parametrize("module", [Breaking, Interrupted])
def test_a_fit_goes_on_from_where_it_broke(tmp_path: Path, module: type[Breaking]) -> None:
    path = broken(tmp_path, module)
    assert load_ckpt(path)["global_step"] == 8
    undisturbed, resumed = seeded(), seeded()
    quiet(max_epochs=3).fit(undisturbed, loader(shuffle=True))
    quiet(max_epochs=3).fit(resumed, loader(shuffle=True), ckpt_path=path)
    assert same(undisturbed.state_dict(), resumed.state_dict())


def test_a_fit_that_ends_well_removes_it(tmp_path: Path) -> None:
    path = broken(tmp_path, Breaking)
    trainer = quiet(max_epochs=3, callbacks=[OnExceptionCheckpoint(tmp_path, "rescue")])
    trainer.fit(seeded(), loader(shuffle=True), ckpt_path=path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_when_nothing_breaks(tmp_path: Path) -> None:
    quiet(callbacks=[OnExceptionCheckpoint(tmp_path)]).fit(seeded(), loader())
    assert list(tmp_path.iterdir()) == []


def test_it_counts_among_the_checkpoints() -> None:
    assert issubclass(OnExceptionCheckpoint, Checkpoint)


def test_a_file_needs_a_name() -> None:
    with pytest.raises(UsageError, match="give the file a name"):
        OnExceptionCheckpoint(".", filename="")
