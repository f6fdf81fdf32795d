"""Who types the tutorial notices what is not as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Block
from tests.docs.typist import MistypedError, Typist, commands, compare


def console(text: str, *words: str, language: str = "console") -> Block:
    return Block(page="page.md", line=7, language=language, words=words, mark="", text=text)


def test_measured_numbers_and_digests_may_differ() -> None:
    compare(
        ["train: done in 8.5 s  b5755fa28ab8  val_acc 0.9923", "…", "digits@champion is version 1."],
        "train: done in 12.25 s  000000000000  val_acc 0.91\nmore\n\x1b[1mdigits@champion\x1b[0m is version 1.\n",
    )


@pytest.mark.parametrize(
    "printed",
    ["digits@champion is version 2.\n", "digits@champion is version 1. Ha\n", ""],
)
def test_versions_and_words_may_not(printed: str) -> None:
    with pytest.raises(MistypedError, match="not printed"):
        compare(["digits@champion is version 1."], printed)


def test_order_counts() -> None:
    with pytest.raises(MistypedError, match="'one'"):
        compare(["two", "one"], "one\ntwo\n")


def test_commands_and_what_they_print() -> None:
    found = list(commands("$ a \\\n    b\nout\n$ c\n"))
    assert found == [("a \\\n    b", ["out"]), ("c", [])]


def test_files_are_written_edited_and_shown(tmp_path: Path) -> None:
    typist = Typist(tmp_path)
    typist.type_block(console("x = 1\ny = 2\n", "new/x.py", language="python"))
    typist.type_block(console(" x = 1\n-y = 2\n+y = 3\n", "new/x.py", language="diff"))
    typist.type_block(console("$ cd new\n$ cat x.py\nx = 1\ny = 3\n"))
    with pytest.raises(MistypedError, match=r"page\.md:7: x\.py has 0 places with"):
        typist.type_block(console("-y = 2\n+y = 4\n", "x.py", language="diff"))


def test_an_exit_code_must_be_asked_for(tmp_path: Path) -> None:
    typist = Typist(tmp_path)
    typist.type_block(console("$ (exit 3)\n$ echo $?\n3\n"))
    with pytest.raises(MistypedError, match="before 'true' ended with exit code 1"):
        typist.type_block(console("$ false\n$ true\n"))


@pytest.mark.needs("curl")
def test_what_pages_type_is_installed(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text('{"digest": "0123456789ab", "code": "not_found"}\n')
    Typist(tmp_path).type_block(
        console('$ curl -s "file://$PWD/answer.json"\n{"digest": "…", "code": "not_found"}\n')
    )
