"""Serve the champion, ask it about texts of any length that it never saw, and stop it again."""

import sys
from pathlib import Path

from data import LABELS, texts
from words import encode

from lifecycle import verbs

OWN = (
    "Returns a tensor filled with random numbers from a uniform distribution, on the given device.",
    "Fit the estimator.",
    "Delete a run from the tracking server with the given experiment name, if it is there.",
)


def main() -> None:
    with verbs.serve("models:/text@champion", workspace=Path(".lifecycle"), workers=1) as server:
        for text in OWN:
            (found,) = server.predict([encode(text)])["predictions"]
            print(f"  {found['label']:<8} {100 * found['probability']:3.0f} %  {text}")
        held_out = texts()[2400:]
        # One request for each, as they come: of any length, and nobody pads them.
        answers = [server.predict([encode(text)])["predictions"][0]["label"] for text, _ in held_out]
    right = sum(answer == LABELS[label] for answer, (_, label) in zip(answers, held_out, strict=True))
    print(f"{right} of {len(held_out)} held-out texts right")
    if right < 0.65 * len(held_out):
        sys.exit("what is served is worse than what was promoted")


if __name__ == "__main__":
    main()
