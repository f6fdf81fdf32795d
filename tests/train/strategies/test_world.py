from __future__ import annotations

import pytest
import torch
from torch import nn

from lifecycle.core.errors import UsageError
from lifecycle.strategies import DDPStrategy, FSDPStrategy
from lifecycle.train.strategies.world import World, meeting_point, world_of
from tests.train.small import Plain, loader, quiet

SLURM = {  # of a process that srun started, as Slurm 22.05 sets them
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_NODELIST": "gpu[01-64]",  # the job's
    "SLURM_JOB_ID": "123456",
}


def test_nobody_else_is_there_unless_somebody_says_so() -> None:
    assert world_of({}) is None
    assert world_of({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert world_of({**SLURM, "SLURM_JOB_NAME": "interactive"}) is None


def test_the_script_of_a_batch_job_is_one_process_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a rank, and would wait for the others for ever."""
    script = {name: value for name, value in SLURM.items() if "STEP" not in name} | {"SLURM_PROCID": "0"}
    assert world_of(script) is None
    for name, value in script.items():
        monkeypatch.setenv(name, value)
    with pytest.warns(
        UserWarning, match="trains alone: the Slurm job has 8 tasks, and `srun python …` starts one in each"
    ):
        assert quiet(max_epochs=1).world_size == 1
    quiet(max_epochs=1, devices=2, accelerator="cpu")  # these it starts itself
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")  # one that srun started alone
    assert quiet(max_epochs=1).world_size == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")  # as salloc has it
    with pytest.warns(
        UserWarning, match="srun started 8 processes, and each trains alone, as SLURM_JOB_NAME=inter"
    ):
        assert quiet(max_epochs=1).world_size == 1


def test_torchrun_and_slurm_say_which_process_this_is() -> None:
    torchrun = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}
    wanted = World(rank=5, local_rank=1, size=8, local_size=4, node=1, nodes=2, started_by="torchrun")
    assert world_of(torchrun) == wanted
    assert world_of({**SLURM, **torchrun}) == wanted  # torchrun below srun starts the processes
    found = world_of(SLURM)
    assert found is not None
    assert (found.rank, found.local_rank, found.size, found.node, found.nodes) == (5, 1, 8, 1, 2)
    assert found.local_size == 4
    uneven = world_of(
        {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "6,2", "SLURM_LOCALID": "0", "SLURM_PROCID": "6"}
    )
    assert uneven is not None and (uneven.rank, uneven.local_rank, uneven.local_size) == (6, 0, 2)


def test_processes_of_a_slurm_job_meet_at_its_first_machine() -> None:
    assert meeting_point(SLURM) == ("gpu07", 18456)
    assert meeting_point({**SLURM, "SLURM_STEP_NODELIST": "big3,big4"}) == ("big3", 18456)
    assert meeting_point({**SLURM, "SLURM_STEP_ID": "1"})[1] != 18456  # another one beside it
    assert meeting_point({**SLURM, "MASTER_ADDR": "head", "MASTER_PORT": "7"}) == ("head", 7)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "two", "WORLD_SIZE": "2"}, "RANK='two' in the environment: expected a whole number"),
        (
            {"RANK": "2", "WORLD_SIZE": "2"},
            "torchrun says that this is process 2 of 2 (2 of 2 on its machine), which cannot be\n"
            "Unset RANK, LOCAL_RANK and WORLD_SIZE to train in one process.",
        ),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        world_of(environment)
    assert str(refused.value) == message


def test_what_was_started_decides_over_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    joined = quiet()
    assert (joined.world_size, joined.global_rank, joined.is_global_zero) == (2, 1, False)
    assert quiet(strategy="single_device").world_size == 1  # each by itself
    with pytest.raises(UsageError) as refused:
        quiet(devices=1)
    assert str(refused.value) == (
        "torchrun started 2 processes on this machine, and Trainer(devices=1) asks for 1\n"
        "Leave devices out: there is one for each process."
    )


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UsageError, match="start_method='thread': allowed: fork, script, spawn"):
        DDPStrategy(start_method="thread")
    with pytest.raises(UsageError, match="max_restarts=-1: expected a whole number of at least 0"):
        DDPStrategy(max_restarts=-1)
    normalised = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    strategy = DDPStrategy()
    with pytest.raises(UsageError, match="synchronises batch normalisation on GPUs only"):
        strategy._sync_batchnorm(normalised)


def test_batch_normalisation_is_synchronised_for_a_while() -> None:
    inner = nn.BatchNorm1d(4)
    module = nn.Sequential(nn.Sequential(nn.Linear(4, 4), inner))
    strategy = DDPStrategy()
    strategy.root_device = torch.device("cuda", 0)
    strategy._sync_batchnorm(module)
    made = module[0][1]  # type: ignore[index]
    assert isinstance(made, nn.SyncBatchNorm) and made.running_mean is inner.running_mean
    strategy.release(module)
    assert module[0][1] is inner  # type: ignore[index]


def test_losses_are_not_scaled_where_gradients_are_divided() -> None:
    from lifecycle.train.precision import MixedPrecision
    from lifecycle.train.strategies.choice import check_goes_together

    scaled = MixedPrecision("bf16-mixed", "cpu")
    scaled.name, scaled.scales = "16-mixed", True
    with pytest.raises(UsageError, match=r"scales losses, and strategy='fsdp' cannot"):
        check_goes_together(FSDPStrategy(), scaled)


def test_a_prompt_has_no_script_to_run_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    with pytest.raises(UsageError) as refused:
        quiet(devices=2).fit(Plain(), loader())
    assert str(refused.value) == (
        "several processes run the script anew, and there is none: this is a notebook, a prompt or a pipe\n"
        'Pass strategy="ddp_notebook", which starts them from here, or write the script to a file.'
    )
