"""Module and data in, checkpoint out: the trainer.

Imported as ``lifecycle.train``; under its bare name it could be mistaken for a user's ``train.py``.
"""

if __name__ != "lifecycle.train":
    raise ImportError(
        "import it as 'lifecycle.train': the folder 'train' is no package of its own (ADR-0001)"
    )
