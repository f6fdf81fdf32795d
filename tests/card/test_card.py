from __future__ import annotations

from lifecycle.card.card import Card, Section


def card(*sections: Section) -> Card:
    return Card(title="digits", summary="digits is a model.", sections=sections)


def test_what_a_project_says_is_shown_as_it_is_written() -> None:
    rows = (("a|b", "<script>", "val_acc", "_all_", "[x](http://y)", "two\nlines"),)
    text = card(Section(title="*Model*", columns=tuple("123456"), rows=rows)).to_markdown()
    assert "## \\*Model\\*" in text
    assert "| a\\|b | \\<script\\> | val_acc | \\_all\\_ | [x\\](http://y) | two lines |" in text


def test_a_card_that_is_too_long_ends_with_a_whole_section_and_says_so() -> None:
    sections = [Section(title=f"Part {number}", texts=("x" * 100,)) for number in range(9)]
    text = card(*sections).to_markdown(limit=500)
    assert len(text) <= 500
    assert text.endswith("Shortened; `card.md` among the files of the run is whole.\n")
    assert "## Part 2" in text and "x" * 100 in text and "## Part 4" not in text
    assert len(card(*sections).to_markdown()) > 900
