"""Two processes that meet over gloo, against one: the same weights, metrics and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.strategies import costs, manual, ranks
from tests.train.strategies.forked import run_ranks_anew
from tests.train.strategies.ranks import Classifier, batches, trainer, weights

# Sums over two halves round otherwise than one sum over the whole; weights here are between -1 and 1.
TOLERANCE = 1e-6
BOTH = (
    ranks.fit,
    ranks.score,
    ranks.accumulate,
    manual.manual,
    manual.manual_divided,
    manual.manual_tied,
    manual.manual_nested,
    ranks.scored_first,
    ranks.undisturbed,
    ranks.resumed,
    ranks.even_stream,
    ranks.divided,
    ranks.divided_resumed,
    ranks.divisions,
    ranks.compiled,
)
ALONE_NOT = (
    ranks.uneven,
    ranks.uneven_stream,
    ranks.collectives,
    ranks.gathers,
    ranks.places,
    manual.manual_own_parameters,
    costs.costs,
    costs.straggler,
    costs.told,
)
Outcomes = dict[str, list[Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def two(folder: Path) -> Outcomes:
    return run_ranks_anew([*BOTH, *ALONE_NOT], folder / "two")


@pytest.fixture(scope="module")
def one(folder: Path) -> Outcomes:
    return run_ranks_anew(BOTH, folder / "one", count=1)


def close(found: list[float], wanted: list[float]) -> bool:
    return torch.allclose(torch.tensor(found), torch.tensor(wanted), rtol=0, atol=TOLERANCE)


def test_two_processes_train_to_the_weights_of_one_with_the_doubled_batch(
    two: Outcomes, one: Outcomes
) -> None:
    first, second = two["fit"]
    assert first["weights"] == second["weights"]
    assert close(first["weights"], one["fit"][0]["weights"])
    assert first["strategy"] == "DDPStrategy"


def test_metrics_are_those_of_one_process_in_both(two: Outcomes, one: Outcomes) -> None:
    first, second = (each["metrics"] for each in two["fit"])
    assert first == second
    assert first == pytest.approx(one["fit"][0]["metrics"], abs=TOLERANCE)
    assert first["val_count"] == 13  # 7 in one process and 6 in the other: none is scored twice


def test_an_uneven_set_is_scored_exactly_even_of_one_sample(two: Outcomes, one: Outcomes) -> None:
    first, second = two["score"]
    assert first == second
    for found, wanted in zip(first, one["score"][0], strict=True):
        assert found[0] == pytest.approx(wanted[0], abs=TOLERANCE)
    assert [found[0]["test_count"] for found in first] == [13, 1]


def test_each_process_knows_its_place(two: Outcomes) -> None:
    first, second = two["fit"]
    assert (first["world"], second["world"]) == ([0, 0, 2, 1, 0], [1, 1, 2, 1, 0])
    assert (first["zero"], second["zero"]) == (True, False)


def test_gradients_are_exchanged_once_for_each_step(two: Outcomes, one: Outcomes) -> None:
    first, alone = two["accumulate"][0], one["accumulate"][0]
    assert first["steps"] == alone["steps"] == 3  # of 7 batches: 3, 3 and 1
    assert first["all_reduces"] == [0, 0, 0]
    assert close(first["weights"], alone["weights"])


def test_manual_optimization_averages_gradients_of_whatever_took_part(two: Outcomes, one: Outcomes) -> None:
    first, second = two["manual"]
    assert first == second
    assert close(first, one["manual"][0])


@pytest.mark.parametrize("way", ["whole", "parts", "two", "mixed"])
def test_manual_optimization_of_divided_parameters_steps_with_their_gradients(
    two: Outcomes, one: Outcomes, way: str
) -> None:
    first, second = (each[way] for each in two["manual_divided"])
    assert first == second
    assert close(first, one["manual_divided"][0][way])


@pytest.mark.parametrize("fit", ["manual_tied", "manual_nested"])
def test_shared_and_nested_parameters_are_put_together_by_who_is_called(
    two: Outcomes, one: Outcomes, fit: str
) -> None:
    first, second = two[fit]
    assert first == second
    for found, wanted in zip(
        *(each if fit == "manual_tied" else [each] for each in (first, one[fit][0])), strict=True
    ):
        assert close(found, wanted)


def test_parameters_that_no_module_of_its_own_has_are_refused_in_manual_optimization(two: Outcomes) -> None:
    said = (
        "strategy='fsdp' with automatic_optimization=False: scale, loose.0, pair.0.weight of Tied would have "
        "gradients after the optimizer's step\n"
        "Put parameters, and modules that share one, into a module that is called in training_step."
    )
    assert two["manual_own_parameters"] == [{"error": said}] * 2


def test_what_was_scored_first_is_trained_like_any_other(two: Outcomes, one: Outcomes) -> None:
    first, second = two["scored_first"]
    assert first == second
    assert close(first, one["scored_first"][0])


def test_every_process_knows_where_files_of_the_run_are(two: Outcomes, folder: Path) -> None:
    place = str(folder / "two" / "places")
    known = [[f"{place}/kept/version_{each}"] * 2 + [place, "kept", each] for each in (1, 0)]
    assert two["places"] == [known, known]


def test_what_is_gathered_keeps_its_type_and_needs_one_shape(two: Outcomes) -> None:
    for kind, first, second, said, ragged in two["gathers"]:
        assert (kind, first, second) == ("Pair", [1.0, 1.0], [2, 2])
        assert said.startswith(
            "all_gather takes tensors of one shape and type from all processes, and got process 0: "
            "torch.float32 [3, 2]; process 1: torch.float32 [4, 2]\n"
        )
        assert ragged == [[3, 2], [4, 2]]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_fit_that_was_cut_off_goes_on_to_the_bit(two: Outcomes, rank: int) -> None:
    resumed = two["resumed"][rank]
    assert resumed.pop("best").endswith(".ckpt")
    undisturbed = dict(two["undisturbed"][rank])
    undisturbed.pop("best")
    assert resumed == undisturbed


def test_one_process_goes_on_where_two_ended(folder: Path, two: Outcomes, one: Outcomes) -> None:
    """Cut off in the middle of an epoch: gathered weights and optimizer are those that two would go on with."""
    path = sorted((folder / "two" / "divided_resumed").glob("first.ckpt"))[0]
    module = Classifier(dropout=0.3)
    used = trainer(folder, max_epochs=1, accumulate_grad_batches=2)
    used.fit(module, batches(4, 24), ckpt_path=path)  # nothing is left to do
    kept = torch.load(path, weights_only=True)
    assert weights(module) == [float(v) for p in kept["state_dict"].values() for v in p.double().flatten()]
    state = used.optimizers[0].state_dict()["state"]
    wanted = kept["optimizer_states"][0]["state"]
    assert all(torch.equal(state[i]["exp_avg"], wanted[i]["exp_avg"]) for i in wanted)


def test_the_first_process_alone_writes_and_removes_checkpoints(folder: Path, two: Outcomes) -> None:
    kept = folder / "two" / "resumed" / "kept"
    assert [path.name for path in sorted(kept.glob("*.ckpt"))] == ["epoch=1-step=12.ckpt", "last.ckpt"]


def test_uneven_data_fails_in_every_process_with_who_has_what(two: Outcomes) -> None:
    hint = (
        "\nEvery process steps with all the others, so they need equally many: let the trainer share out the "
        "samples (use_distributed_sampler=True), or pass limit_train_batches."
    )
    said = "the processes have unequal training data: "
    assert two["uneven"] == [{"error": f"{said}rank 0 has 2 batches, rank 1 has 3 batches{hint}"}] * 2
    assert two["uneven_stream"] == [{"error": f"{said}rank 0 has 2, rank 1 has more batches{hint}"}] * 2


def test_streams_of_unknown_length_end_together(two: Outcomes) -> None:
    assert two["even_stream"] == [2, 2]


def test_what_modules_and_callbacks_ask_of_all(two: Outcomes) -> None:
    first, second = two["collectives"]
    assert first["gathered"] == second["gathered"] == {"a": [[0.0], [1.0]], "b": [2, 3]}
    assert first["gradient"] == second["gradient"] == [3.0]  # 1 from the first, 2 from the second
    assert second["broadcast"] == {"from": 0, "tensor": [1.5]}
    assert first["lengths"] == second["lengths"] == [10, 5010]  # with what fits at once, and what does not
    assert (first["mean"], first["max"]) == ([0.5], [1.0])
    assert (first["all"], first["any"]) == (False, True)
    assert (first["only"], second["only"]) == ("ran", None)
    assert second["sampler"] == {"num_replicas": 2, "rank": 1}


def test_a_divided_module_trains_to_the_weights_of_one_process(two: Outcomes, one: Outcomes) -> None:
    first, second = two["divided"]
    assert first["kinds"] == ["DTensor"]
    assert first["weights"] == second["weights"]
    assert close(first["weights"], one["divided"][0]["weights"])
    assert first["metrics"] == second["metrics"]
    assert first["metrics"] == pytest.approx(one["divided"][0]["metrics"], abs=TOLERANCE)


def test_a_divided_module_is_saved_whole(two: Outcomes) -> None:
    found = Classifier.load_from_checkpoint(two["divided"][0]["ckpt"])
    assert weights(found) == two["divided"][0]["weights"]


def test_a_divided_fit_goes_on_to_the_bit(two: Outcomes) -> None:
    for resumed, undisturbed in two["divided_resumed"]:
        assert resumed == undisturbed


def test_a_compiled_module_trains_to_the_weights_of_one_that_is_not(two: Outcomes, one: Outcomes) -> None:
    first, second = two["compiled"]
    assert first == second
    assert close(first, one["fit"][0]["weights"])


@pytest.mark.parametrize("name", [name for name in ranks.DIVISIONS if name not in ("mixed", "typed")])
def test_however_it_is_divided_it_trains_to_the_weights_of_one_process(
    name: str, two: Outcomes, one: Outcomes
) -> None:
    first, second = (outcome[name] for outcome in two["divisions"])
    assert first["weights"] == second["weights"]
    assert close(first["weights"], one["divisions"][0][name]["weights"])


def test_parts_are_chosen_by_class_and_by_size(two: Outcomes) -> None:
    parts = {name: found["parts"] for name, found in two["divisions"][0].items()}
    assert parts["whole"] == [""]
    assert parts["by name"] == parts["compiled"] == ["", "net.0", "net.4"]
    assert parts["by size"] == ["", "net.0"]  # 56 parameters; the other 18 are in no part


def test_recomputed_parts_run_twice_in_a_step(two: Outcomes) -> None:
    runs = {name: len(found["runs"]) for name, found in two["divisions"][0].items()}
    assert (runs["by name"], runs["recomputed"]) == (3, 6)


def test_the_precision_says_in_which_types_parts_are_put_together(two: Outcomes) -> None:
    found = two["divisions"][0]
    for name in ("mixed", "typed"):
        assert set(found[name]["runs"]) == {"torch.bfloat16"} and found[name]["kept"] == "torch.float32"
    assert set(found["whole"]["runs"]) == {"torch.float32"}
    loose = torch.tensor(found["mixed"]["weights"]) - torch.tensor(found["whole"]["weights"])
    assert 0 < float(loose.abs().max()) < 0.1


def test_a_step_exchanges_what_a_loop_written_by_hand_does(two: Outcomes) -> None:
    for found in two["costs"]:
        assert found["ours exchanges"] == found["hand exchanges"] == {"gloo:all_reduce [[74]]": 1}


def test_a_step_costs_a_few_function_calls_more_than_one_written_by_hand(two: Outcomes) -> None:
    for found in two["costs"]:
        more = found["ours calls"]["calls"] - found["hand calls"]["calls"]
        assert 0 < more <= 48, found  # ten log the loss, six seed, four look whether somebody ends the job


def test_a_slow_process_is_named(two: Outcomes) -> None:
    first, second = two["straggler"]
    for run, slow in ((0, 1), (1, 0)):
        assert first[run]["slowest"] == second[run]["slowest"] == slow
        assert first[run]["lags"]
        assert first[run]["slow phase"] == slow
        assert first[run]["batches"] == [5, 5]  # of 6: the first warms up
        assert first[run]["logged"] == [slow] * 3
        assert second[run]["logged"] == []  # the first process alone writes


def test_times_are_exchanged_only_when_they_are_reported(two: Outcomes) -> None:
    assert two["told"] == [{"gloo:all_gather [[14]]": 4}] * 2  # of 14 batches the 4th, 8th, 12th; the end
