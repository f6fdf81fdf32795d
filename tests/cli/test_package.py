from __future__ import annotations

from tests.cli.commands import CommandLine


def test_what_is_no_model_is_refused(lifecycle: CommandLine) -> None:
    ended = lifecycle("package", "nowhere")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(
        "error: 'nowhere' is neither models:/NAME@ALIAS, models:/NAME/VERSION nor a folder\n"
        "A registered model's champion is named: models:/nowhere@champion\n"
    )


def test_a_folder_that_holds_something_else_is_told(lifecycle: CommandLine) -> None:
    ended = lifecycle("package", ".")
    assert (ended.code, ended.out) == (1, "")
    assert "is not an artifact: it has no manifest.json" in ended.err
