"""MLflow: runs with statuses that can be trusted, also while its server is away."""

from lifecycle.connection import AwayError, connect
from lifecycle.tracking.catching_up import find_registry
from lifecycle.tracking.experiment import OWNER, PARENT, Experiment, open_experiment, stage_options
from lifecycle.tracking.recorder import PipelineRun, RecordedRun, Recorder, recording

__all__ = [
    "OWNER",
    "PARENT",
    "AwayError",
    "Experiment",
    "PipelineRun",
    "RecordedRun",
    "Recorder",
    "connect",
    "find_registry",
    "open_experiment",
    "recording",
    "stage_options",
]
