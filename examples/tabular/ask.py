"""Serve the champion, ask it about tumours that it never saw, and stop it again."""

import sys
from pathlib import Path

from data import Tumours

from lifecycle import verbs


def main() -> None:
    data = Tumours()
    data.setup("test")
    rows, labels = zip(*data.test, strict=True)
    with verbs.serve("models:/tumours@champion", workspace=Path(".lifecycle"), workers=1) as server:
        answer = server.predict([row.tolist() for row in rows])
    found = [prediction["label"] == "malignant" for prediction in answer["predictions"]]
    right = sum(each == bool(label) for each, label in zip(found, labels, strict=True))
    missed = sum(bool(label) and not each for each, label in zip(found, labels, strict=True))
    served = f"{answer['model_name']} version {answer['model_version']}"
    print(f"{served}: {right} of {len(rows)} right, {missed} missed")
    if right < 0.9 * len(rows):
        sys.exit("what is served is worse than what was promoted")


if __name__ == "__main__":
    main()
