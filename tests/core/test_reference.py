from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.core.reference import Reference, sources_digest

MakeProject = Callable[..., Path]
NET = "class Net:\n    def __init__(self, width, *, lr: float = 0.1):\n        self.width = width\n"


def project(root: Path, files: dict[str, str]) -> Path:
    """Python files by their path below `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def value(root: Path, reference: str = "model.py:Net") -> object:
    """What the class's ``value`` is: tells which files it was made from."""
    return getattr(Reference(reference).load(root), "value")  # noqa: B009


@pytest.mark.parametrize("text", ["", "model.py", ":Net", "model.py:"])
def test_a_reference_names_a_class(text: str) -> None:
    with pytest.raises(
        UsageError,
        match=f"^'{text}' names no class: expected FILE.py:CLASS or package.module:CLASS\nWrite the class behind a colon, as in model.py:Net.$",
    ):
        Reference(text)


def test_a_class_of_a_file_is_loaded(tmp_path: Path) -> None:
    root = project(tmp_path, {"nets/small.py": NET})
    assert Reference("nets/small.py:Net").load(root)(3).width == 3
    assert Reference("nets.small:Net").load(root)(3).width == 3


def test_a_class_of_an_installed_package_is_loaded(tmp_path: Path) -> None:
    import json

    assert Reference("json:JSONDecoder").load(tmp_path) is json.JSONDecoder
    assert Reference("json:JSONDecoder").sources(tmp_path) == {}


def test_nothing_runs_when_a_reference_is_checked(tmp_path: Path) -> None:
    root = project(tmp_path, {"model.py": "raise SystemExit('ran')\n" + NET})
    Reference("model.py:Net").check(root, ["width", "lr"])


def test_a_missing_file_is_refused_with_the_closest_one(tmp_path: Path) -> None:
    root = project(tmp_path, {"model.py": NET})
    with pytest.raises(
        UsageError, match=r"no file .*/modle.py: did you mean 'model.py'\? Allowed: model.py$"
    ):
        Reference("modle.py:Net").check(root)


def test_a_missing_class_is_refused_with_the_closest_one(tmp_path: Path) -> None:
    root = project(tmp_path, {"model.py": NET + "class Other: pass\n"})
    message = r"^model.py defines no class 'Nett': did you mean 'Net'\? Allowed: Net, Other$"
    with pytest.raises(UsageError, match=message):
        Reference("model.py:Nett").check(root)
    with pytest.raises(UsageError, match=message.replace("model.py:Nett", "model.py")):
        Reference("model.py:Nett").load(root)


def test_a_function_is_no_class(tmp_path: Path) -> None:
    root = project(tmp_path, {"model.py": "def Net(): pass\n"})
    with pytest.raises(UsageError, match=r"^model.py defines no class 'Net': allowed: \(nothing\)$"):
        Reference("model.py:Net").load(root)


def test_a_missing_argument_is_refused_with_the_closest_one(tmp_path: Path) -> None:
    root = project(tmp_path, {"model.py": NET})
    with pytest.raises(
        UsageError,
        match=r"^model.py:Net takes no argument 'widht': did you mean 'width'\? Allowed: lr, width$",
    ):
        Reference("model.py:Net").check(root, ["widht"])


@pytest.mark.parametrize(
    "source",
    [
        "class Net:\n    def __init__(self, **options): pass\n",
        "from base import Base\nclass Net(Base): pass\n",
    ],
)
def test_arguments_that_the_text_does_not_tell_are_left_to_the_class(tmp_path: Path, source: str) -> None:
    root = project(tmp_path, {"model.py": source, "base.py": "class Base: pass\n"})
    Reference("model.py:Net").check(root, ["anything"])
    assert Reference("model.py:Net").parameters(root) is None


def test_arguments_come_with_their_annotations(tmp_path: Path) -> None:
    root = project(tmp_path, {"model.py": NET})
    found = Reference("model.py:Net").parameters(root) or {}
    assert {name: (each.annotation, each.required) for name, each in found.items()} == {
        "width": ("", True),
        "lr": ("float", False),
    }


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    root = project(tmp_path, {"model.py": "x = 1\nclass Net(:\n    pass\n"})
    with pytest.raises(UsageError, match=r"model.py:2: not Python: invalid syntax$"):
        Reference("model.py:Net").check(root)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import no_such_package\n",
            "ModuleNotFoundError: No module named 'no_such_package'\nCorrect its name, or install it",
        ),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_reason(
    tmp_path: Path, source: str, reason: str
) -> None:
    root = project(tmp_path, {"model.py": source + NET})
    with pytest.raises(UsageError, match=f"model.py cannot be imported: {reason}"):
        Reference("model.py:Net").load(root)


@pytest.mark.parametrize("text", ["no_such_package:Net", "json.no_such_module:Net", "no.such.module:Net"])
def test_a_module_that_is_not_installed_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=rf"^'{text}': no module '[\w.]+' below {tmp_path} or installed$"):
        Reference(text).load(tmp_path)


def test_a_file_outside_the_project_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path / "here", {"data.py": ""})
    project(tmp_path / "there", {"model.py": NET})
    for use in ("check", "load", "sources"):
        with pytest.raises(UsageError, match=r"^'../there/model.py:Net' lies outside .*/here: move it there"):
            getattr(Reference("../there/model.py:Net"), use)(root)


def test_sources_are_the_file_and_all_that_it_imports_from_the_project(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "model.py": "import json, torch\nimport layers.blocks.residual as r\nfrom helpers import scale\n",
            "layers/__init__.py": "",
            "layers/blocks/__init__.py": "from . import plain\n",
            "layers/blocks/plain.py": "from ..activations import relu\n",
            "layers/blocks/residual.py": "from .plain import *\n",
            "layers/activations.py": "def relu(): import late\n",
            "layers/unused.py": "",
            "helpers.py": "import model\n",
            "late.py": "",
            "train.py": "",
            "json_like.py": "",
        },
    )
    assert set(Reference("model.py:Net").sources(root)) == {
        "model.py",
        "helpers.py",
        "late.py",
        "layers/__init__.py",
        "layers/activations.py",
        "layers/blocks/__init__.py",
        "layers/blocks/plain.py",
        "layers/blocks/residual.py",
    }


def test_a_linked_file_is_a_source_under_its_own_name(tmp_path: Path) -> None:
    project(tmp_path / "shared", {"layers.py": "value = 1\n"})
    root = project(tmp_path / "here", {"model.py": "import layers\nclass Net: value = layers.value\n"})
    (root / "layers.py").symlink_to(tmp_path / "shared" / "layers.py")
    assert set(Reference("model.py:Net").sources(root)) == {"model.py", "layers.py"}
    assert value(root) == 1


def test_the_digest_of_sources_follows_what_is_imported_and_nothing_else(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {"model.py": "import layers\n" + NET, "layers.py": "a = 1\n", "data.py": NET, "notes.py": "b = 1\n"},
    )
    references = (Reference("model.py:Net"), Reference("data.py:Net"))
    before = sources_digest(root, *references)
    project(root, {"notes.py": "b = 2\n", "README": "changed"})
    assert sources_digest(root, *references) == before
    project(root, {"layers.py": "a = 2\n"})
    assert sources_digest(root, *references) != before


def test_the_digest_of_sources_is_the_same_in_another_folder(tmp_path: Path) -> None:
    files = {"model.py": "import layers\n" + NET, "layers.py": "a = 1\n"}
    here, there = project(tmp_path / "here", files), project(tmp_path / "there" / "below", files)
    reference = Reference("model.py:Net")
    assert sources_digest(here, reference) == sources_digest(there, reference)


def test_two_projects_with_modules_of_the_same_names_do_not_mix(tmp_path: Path) -> None:
    for number in (1, 2):
        files = {
            "model.py": "import layers\nfrom parts import piece\nclass Net: value = (layers.value, piece.value)\n",
            "layers.py": f"value = {number}\n",
            "parts/piece.py": f"value = {number * 10}\n",  # a package without an __init__.py
        }
        project(tmp_path / str(number), files)
    assert value(tmp_path / "1") == (1, 10)
    assert value(tmp_path / "2") == (2, 20)
    assert value(tmp_path / "1") == (1, 10)


def test_an_edited_file_is_loaded_anew_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    root = project(
        tmp_path, {"model.py": "import layers\nclass Net: value = layers.value\n", "layers.py": "value = 1\n"}
    )
    before = Reference("model.py:Net").load(root)
    assert Reference("model.py:Net").load(root) is before
    project(root, {"layers.py": "value = 22\n"})
    assert value(root) == 22
    assert getattr(before, "value") == 1  # noqa: B009


@pytest.mark.parametrize("name", ["train", "export", "compress", "serve", "lifecycle_model", "json"])
def test_a_users_file_may_be_called_as_our_folders_are(tmp_path: Path, name: str) -> None:
    other = "export" if name == "train" else "train"
    root = project(
        tmp_path,
        {
            f"{name}.py": f"from {other} import value as v\nimport lifecycle.train.seeding\nclass Net: value = v\n",
            f"{other}.py": "value = 'mine'\n",
        },
    )
    assert value(root, f"{name}.py:Net") == "mine"


@pytest.mark.parametrize("reference", ["pkg/model.py:Net", "pkg.model:Net"])
def test_a_file_of_a_package_imports_its_siblings_relatively(tmp_path: Path, reference: str) -> None:
    root = project(
        tmp_path,
        {
            "pkg/__init__.py": "",
            "pkg/model.py": "from . import layers\nfrom .sub.deep import value as deep\nclass Net: value = (layers.value, deep)\n",
            "pkg/layers.py": "value = 1\n",
            "pkg/sub/__init__.py": "",
            "pkg/sub/deep.py": "from ..layers import value\n",
        },
    )
    assert value(root, reference) == (1, 1)


def test_loading_leaves_no_plain_names_behind(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {"model.py": "import layers, a.b.c\nclass Net: value = 1\n", "layers.py": "", "a/b/c.py": ""},
    )
    path = list(sys.path)
    value(root)
    assert not {"model", "layers", "a", "a.b", "a.b.c"} & set(sys.modules)
    assert sys.path == path


def test_loading_gives_back_modules_whose_names_the_project_uses(tmp_path: Path) -> None:
    import statistics

    root = project(
        tmp_path,
        {
            "model.py": "import statistics\nclass Net: value = statistics.value\n",
            "statistics.py": "value = 5\n",
        },
    )
    assert value(root) == 5
    assert sys.modules["statistics"] is statistics
