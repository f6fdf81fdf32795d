from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.core.class_text import ClassText
from lifecycle.core.config import convert
from lifecycle.core.errors import UsageError

SOURCE = """
import torch
import lifecycle as pl
from elsewhere import Foreign, dataclass

class Base(pl.DataModule):
    def __init__(self, path: str, size: int = 3, *, names: list[str] | None = None, device: torch.device = 0):
        pass
    def train_dataloader(self): pass

class Small(Base):
    val_dataloader = Base.train_dataloader

class Bare(pl.LightningDataModule):
    pass

class Later(pl.DataModule):
    def setup(self, stage): self.test_dataloader = 3

class Kept(Foreign): pass

@dataclass
class Made(pl.Module):
    width: int

class Any(pl.Module):
    def __init__(self, **options): pass
"""


def text(tmp_path: Path, name: str) -> ClassText:
    (tmp_path / "data.py").write_text(SOURCE)
    return ClassText(tmp_path / "data.py", name)


def test_arguments_are_those_of_the_nearest_init_in_the_file(tmp_path: Path) -> None:
    for name in ("Base", "Small"):
        found = text(tmp_path, name).parameters() or {}
        assert {key: (each.required, each.type) for key, each in found.items()} == {
            "path": (True, str),
            "size": (False, int),
            "names": (False, list[str] | None),
            "device": (False, None),
        }


@pytest.mark.parametrize(("name", "known"), [("Bare", {}), ("Kept", None), ("Made", None), ("Any", None)])
def test_what_the_text_does_not_tell_is_not_claimed(tmp_path: Path, name: str, known: object) -> None:
    assert text(tmp_path, name).parameters() == known


@pytest.mark.parametrize(
    ("name", "method", "known"),
    [
        ("Base", "train_dataloader", True),
        ("Small", "train_dataloader", True),
        ("Small", "val_dataloader", True),
        ("Small", "predict_dataloader", False),
        ("Bare", "val_dataloader", False),
        ("Later", "test_dataloader", None),
        ("Kept", "val_dataloader", None),
    ],
)
def test_a_method_is_there_or_not_or_nobody_knows(
    tmp_path: Path, name: str, method: str, known: object
) -> None:
    assert text(tmp_path, name).defines(method) is known


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", 3, "3"),
        ("float", 3, "3"),
        ("bool", True, 1),
        ("'str | None'", None, 3),
        ("Optional[int]", None, 1.5),
        ("Union[int, list[int]]", [1, 2], ["a"]),
        ("tuple[int, ...]", [1, 2], [1.5]),
        ("Literal['a', 'b']", "a", "c"),
        ("Mapping[str, float]", {"a": 1}, {"a": "b"}),
        ("dict", {"a": []}, []),
    ],
)
def test_types_of_plain_data_are_checked(tmp_path: Path, annotation: str, good: object, bad: object) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"class Net:\n    def __init__(self, value: {annotation}): pass\n")
    found = (ClassText(path, "Net").parameters() or {})["value"].type
    convert(found, good, "here", exactly=True)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^here is "):
        convert(found, bad, "here", exactly=True)  # type: ignore[arg-type]
