"""An architecture in a file is the same when it is read again."""

import json

import pytest

from resnet_lib import ARCHITECTURES, Architecture, Block, UnitKind
from resnet_lib.descriptions import architecture_of, described
from resnet_lib.units import BasicUnit


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_every_named_network_comes_back_from_json(architecture):
    assert architecture_of(json.loads(json.dumps(described(architecture)))) == architecture


@pytest.mark.parametrize(
    "change", [{"image_size": (31, 64)}, {"image_size": None}, {"root": None}, {"num_classes": None}]
)
def test_so_does_one_of_other_sizes(change):
    architecture = ARCHITECTURES["resnet_v2_50"].variant(**change)
    again = architecture_of(json.loads(json.dumps(described(architecture))))
    assert again == architecture and hash(again) == hash(architecture)


def test_a_unit_of_ones_own_cannot_be_written():
    kind = UnitKind("mine", BasicUnit, 2, builder=lambda *args: None)
    assert described(Architecture("net", [Block("block1", kind, [(8, 1)])])) is None
