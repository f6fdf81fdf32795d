"""Text to numbers: what whoever asks the served model does too."""

import re
import zlib

VOCABULARY = 2048
LONGEST = 32
PADDING = 0


def encode(text: str) -> list[int]:
    """A number from 1 on for each word, by its checksum; what is beyond the longest is left out.

    There is no list of words to ship: two words may share a number, which costs little.

    >>> encode("Returns a view.") == encode("returns a VIEW")
    True
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [1 + zlib.crc32(word.encode()) % (VOCABULARY - 1) for word in words[:LONGEST]]


def pad(rows: list[list[int]]) -> list[list[int]]:
    """Rows of one length, as long as the longest."""
    length = max(map(len, rows))
    return [row + [PADDING] * (length - len(row)) for row in rows]
