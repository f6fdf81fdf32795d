from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lifecycle.core.artifact import Artifact, Draft, open_artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import ArtifactError

FILES = {"weights.bin": b"\x00\x01", "code/model.py": b"x = 1\n"}


def seal(
    into: Path,
    files: Mapping[str, bytes] = FILES,
    *,
    kind: str = "checkpoint",
    parent: Artifact | None = None,
    facts: Mapping[str, JSON] | None = None,
) -> Artifact:
    with Draft(into) as draft:
        for name, content in files.items():
            path = draft.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return draft.seal(kind, parent=parent, facts=facts)


def error_of(path: Path, kind: str | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path, kind)
    return str(caught.value)


def test_a_sealed_artifact_opens_with_what_was_put_in(tmp_path: Path) -> None:
    parent = seal(tmp_path / "parent")
    seal(tmp_path / "child", {"a": b"1"}, kind="bundle", parent=parent, facts={"accuracy": 0.97})
    opened = open_artifact(tmp_path / "child", "bundle")
    assert opened.kind == "bundle"
    assert opened.parent == parent.digest
    assert opened.facts["accuracy"] == 0.97
    assert opened.file("a").read_bytes() == b"1"
    assert len(opened.digest) == 64
    assert set(opened.digest) <= set("0123456789abcdef")


def test_the_same_bytes_have_the_same_digest_wherever_they_are(tmp_path: Path) -> None:
    here = seal(tmp_path / "here")
    there = seal(tmp_path / "deep" / "below" / "there", dict(reversed(FILES.items())))
    assert here.digest == there.digest


def test_facts_and_parent_are_no_part_of_the_digest(tmp_path: Path) -> None:
    plain = seal(tmp_path / "plain")
    told = seal(tmp_path / "told", parent=plain, facts={"made": "yesterday", "seconds": 12.5})
    assert told.digest == plain.digest


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({**FILES, "weights.bin": b"\x00\x02"}, "checkpoint"),
        ({**FILES, "more": b""}, "checkpoint"),
        ({"weights2.bin": b"\x00\x01", "code/model.py": b"x = 1\n"}, "checkpoint"),
        (FILES, "bundle"),
    ],
)
def test_other_content_has_another_digest(tmp_path: Path, files: Mapping[str, bytes], kind: str) -> None:
    assert seal(tmp_path / "a").digest != seal(tmp_path / "b", files, kind=kind).digest


def test_the_manifest_lists_every_file(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_bytes())
    assert manifest["kind"] == "checkpoint"
    assert {name: entry["size"] for name, entry in manifest["files"].items()} == {
        "weights.bin": 2,
        "code/model.py": 6,
    }


def test_facts_that_are_not_finite_are_kept_as_null(tmp_path: Path) -> None:
    seal(tmp_path / "a", facts={"loss": math.nan})
    assert open_artifact(tmp_path / "a").facts["loss"] is None


def test_an_altered_file_is_named(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    (tmp_path / "a" / "code" / "model.py").write_bytes(b"x = 2\n")
    message = error_of(tmp_path / "a")
    assert f"artifact {tmp_path / 'a'} was altered: code/model.py differs from its SHA-256" in message
    assert "Run the pipeline again" in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    (tmp_path / "a" / "weights.bin").unlink()
    assert "was altered: weights.bin is missing" in error_of(tmp_path / "a")


def test_an_added_file_is_named(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    (tmp_path / "a" / "code" / ".hidden").write_text("")
    assert "was altered: code/.hidden was added" in error_of(tmp_path / "a")


def test_a_link_is_named_even_where_it_leads_to_the_same_bytes(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    (tmp_path / "elsewhere").write_bytes(FILES["weights.bin"])
    (tmp_path / "a" / "weights.bin").unlink()
    (tmp_path / "a" / "weights.bin").symlink_to(tmp_path / "elsewhere")
    assert "holds a link: weights.bin" in error_of(tmp_path / "a")


def test_a_link_is_not_sealed(tmp_path: Path) -> None:
    with Draft(tmp_path / "a") as draft, pytest.raises(ArtifactError, match="holds a link: passwd"):
        (draft.path / "passwd").symlink_to("/etc/passwd")
        draft.seal("checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_altered_facts_are_noticed(tmp_path: Path) -> None:
    seal(tmp_path / "a", facts={"accuracy": 0.5})
    facts = tmp_path / "a" / "facts.json"
    facts.write_text(facts.read_text().replace("0.5", "0.9"))
    assert "was altered: facts.json differs from its SHA-256" in error_of(tmp_path / "a")


def test_missing_facts_are_noticed(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    (tmp_path / "a" / "facts.json").unlink()
    assert "was altered: facts.json is missing" in error_of(tmp_path / "a")


@pytest.mark.parametrize("name", ["manifest.json", "facts.json"])
@pytest.mark.parametrize(("content", "what"), [("{", "is not JSON"), ("[]", "is not a JSON object")])
def test_a_torn_description_is_named(tmp_path: Path, name: str, content: str, what: str) -> None:
    seal(tmp_path / "a")
    (tmp_path / "a" / name).write_text(content)
    assert f"{name} {what}" in error_of(tmp_path / "a")


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    assert "manifest.json is not a manifest of format 1" in error_of(tmp_path / "a")


def test_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    assert (
        error_of(tmp_path / "a", "bundle") == f"{tmp_path / 'a'} holds a checkpoint, but a bundle is needed"
    )


@pytest.mark.parametrize(
    ("name", "reason"), [("nothing", "there is no such folder"), ("empty", "it has no manifest.json")]
)
def test_what_is_no_artifact_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    assert error_of(tmp_path / name) == f"{tmp_path / name} is not an artifact: {reason}"


def test_asking_for_a_file_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    artifact = seal(tmp_path / "a")
    with pytest.raises(ArtifactError, match=r"has no file 'model.onnx'; it has: code/model.py, facts.json, "):
        artifact.file("model.onnx")


def test_a_draft_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Draft(tmp_path / "a") as draft:
        (draft.path / "weights.bin").write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_draft_that_is_not_sealed_leaves_nothing(tmp_path: Path) -> None:
    with Draft(tmp_path / "a") as draft:
        (draft.path / "weights.bin").write_bytes(b"whole")
    assert list(tmp_path.iterdir()) == []


def test_a_draft_that_fails_leaves_the_artifact_that_was_there(tmp_path: Path) -> None:
    before = seal(tmp_path / "a")
    with pytest.raises(RuntimeError), Draft(tmp_path / "a") as draft:
        (draft.path / "weights.bin").write_bytes(b"half")
        raise RuntimeError
    assert open_artifact(tmp_path / "a") == before


def test_sealing_replaces_what_was_there(tmp_path: Path) -> None:
    seal(tmp_path / "a")
    seal(tmp_path / "a", {"other": b"1"})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "facts.json",
        "manifest.json",
        "other",
    ]


def test_a_killed_process_leaves_no_artifact(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from lifecycle.core.artifact import Draft\n"
        "with Draft(Path(sys.argv[1])) as draft:\n"
        "    (draft.path / 'weights.bin').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], env=os.environ, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a").exists()
    seal(tmp_path / "a")
    assert open_artifact(tmp_path / "a").kind == "checkpoint"
