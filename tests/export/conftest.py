"""Bundles that several tests look at, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lifecycle.core.artifact import Artifact
from lifecycle.export.bundle import write_bundle
from tests.export.networks import DIGITS, PAIR, Pair, digits, images, pairs, quantized

FORMATS = ("onnx", "torchscript")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def float_bundle(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    into = tmp_path_factory.mktemp("float") / "bundle"
    return write_bundle(digits(), signature=DIGITS, formats=FORMATS, samples=images(40), into=into)


@pytest.fixture(scope="session")
def pair() -> Pair:
    torch.manual_seed(1)
    return Pair()


@pytest.fixture(scope="session")
def pair_bundle(pair: Pair, float_bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Two inputs, two dynamic axes, a dictionary; with a parent and facts of its own."""
    return write_bundle(
        pair,
        signature=PAIR,
        formats=FORMATS,
        samples=pairs(9, 5),
        into=tmp_path_factory.mktemp("pair") / "bundle",
        parent=float_bundle,
        facts={"epochs": 3},
    )


@pytest.fixture(scope="session")
def integer_network() -> nn.Module:
    return quantized(digits())


@pytest.fixture(scope="session")
def integer_bundle(integer_network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_integers(integer_network, tmp_path_factory.mktemp("integers") / "bundle")


def write_integers(network: nn.Module, into: Path) -> Artifact:
    module = digits()
    network.postprocess = module.postprocess
    return write_bundle(
        network, signature=DIGITS, formats=FORMATS, samples=images(40), into=into, precision="int8"
    )
