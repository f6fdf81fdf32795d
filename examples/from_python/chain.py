"""The life of a model from Python alone: trained, compressed, promoted, served, replaced, rolled back."""

import tempfile
from pathlib import Path

from sklearn.datasets import load_breast_cancer

import lifecycle
from lifecycle import verbs

QUICK = {"train.trainer.max_epochs": 20, "evaluate.timed_calls": 50, "evaluate.steps": False}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        live(Path(folder) / "tumours")


def live(folder: Path) -> None:
    """Everything that `lifecycle …` does, without it."""
    print("written:", ", ".join(path.name for path in verbs.init(folder, template="tabular")))
    pipeline = lifecycle.Pipeline(folder / "pipeline.yaml", QUICK)
    print(pipeline.plan())

    trained = pipeline.run(until="train")
    print("trained:", trained.metrics)

    first = pipeline.run()  # training is not done again
    print(first)  # in a notebook, `first` alone shows a table
    print(verbs.promote(first.name, workspace=folder / ".lifecycle", reason="the first one"))

    rows = load_breast_cancer().data[:5].astype("float32")
    with verbs.serve(f"models:/{first.name}@champion", workspace=folder / ".lifecycle", workers=1) as server:
        answer = server.predict(rows)
    print("served:", [prediction["label"] for prediction in answer["predictions"]])

    wider = lifecycle.Pipeline(folder / "pipeline.yaml", {**QUICK, "model_args.width": 96})
    second = wider.run()
    print(verbs.promote(second.name, second.version, workspace=folder / ".lifecycle", reason="wider"))
    for difference in verbs.diff(second.name, 1, 2, workspace=folder / ".lifecycle")[:4]:
        print(f"  {difference.section} {difference.name}: {difference.before} → {difference.after}")
    print(verbs.rollback(first.name, workspace=folder / ".lifecycle", reason="too wide"))
    for entry in verbs.history(first.name, workspace=folder / ".lifecycle"):
        print(f"  {entry.kind} to version {entry.version}: {entry.reason}")


if __name__ == "__main__":
    main()
