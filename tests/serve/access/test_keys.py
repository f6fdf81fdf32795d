from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.serve.access.keys import read_keys

KEY, OTHER = b"0123456789abcdef", b"fedcba9876543210"


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"# for the robot\n  " + KEY + b"  \n\n" + OTHER + b"\n")
    for keys in (
        read_keys(path, {}),
        read_keys(None, {"LIFECYCLE_API_KEYS": f"{KEY.decode()},{OTHER.decode()}"}),
    ):
        assert keys is not None
        assert (len(keys), keys.admit(KEY), keys.admit(OTHER)) == (2, True, True)
        assert not any(keys.admit(wrong) for wrong in (b"", KEY + b" ", KEY[:-1], b"# for the robot"))
    assert read_keys(None, {}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nobody\n", "holds no API key; then nobody could ask"),
        ("short\n", "key 1 has 5 characters; expected 16 or more"),
        ("0123456789abcdef\nwith a space 0123456789\n", "key 2 has 23 characters; expected 16 or more"),
    ],
)
def test_a_file_that_would_keep_nobody_out_or_everybody_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        read_keys(path, {})
    assert "secrets.token_urlsafe" in error.value.hint
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_keys(tmp_path / "nowhere", {})


def test_keys_stay_as_they_were_when_the_new_file_is_no_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(KEY)
    keys = read_keys(path, {})
    assert keys is not None
    for text, expected in ((b"", KEY), (OTHER, OTHER)):
        (tmp_path / "aside").write_bytes(text)
        (tmp_path / "aside").replace(path)
        with caplog.at_level(logging.INFO, "lifecycle.serve"):
            keys.look()
        assert [keys.admit(KEY), keys.admit(OTHER)] == [expected == KEY, expected == OTHER]
    path.unlink()
    keys.look()
    assert keys.admit(OTHER)
    assert "the API keys stay as they were" in caplog.text
    assert KEY.decode() not in repr(vars(keys))
