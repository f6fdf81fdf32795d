from __future__ import annotations

from pathlib import Path

from lifecycle.core.stage import scratch


def test_unfinished_work_stands_beside_its_result_and_stays(tmp_path: Path) -> None:
    into = tmp_path / "train" / "key"
    folder = scratch(into)
    (folder / "last.ckpt").write_text("half")
    assert folder.parent == into.parent
    assert folder != into
    assert (scratch(into) / "last.ckpt").read_text() == "half"
