"""What kernels read and write: op by op equal to the TensorFlow graph (random networks: test_fuzz), and by hand where
ops are fused."""

from math import ceil, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.as_built import graph_of, read_and_written
from experiments.fuzz import closed_form
from resnet_lib import ARCHITECTURES, Architecture, Block, Root, build, cost
from resnet_lib.blocks import CIFAR_ROOT
from resnet_lib.frozen_graph import frozen_graph
from resnet_lib.traffic import COUNTED_SHORTCUTS, FUSED, kernels


def check(architecture, **options):
    graph = graph_of(architecture, **options)
    found = kernels(architecture, **options)
    assert sorted((k.kind, sum(k.reads.values()), k.written) for k in found) == read_and_written(graph)
    variables = graph.get_collection("variables")
    assert sum(k.weights for k in found) == sum(prod(v.shape) for v in variables)
    assert sum(k.macs for k in found) == cost(architecture, **options).macs


@pytest.mark.parametrize("name", ["resnet_v2_50", "resnet_v1_34", "se_resnet_50", "resnext_50_32x4d", "plain_18"])
def test_without_fusion_it_is_what_the_graphs_ops_read_and_write(name):
    check(name, image_size=65)


RANDOM = [closed for number in range(200) for closed, refused in [closed_form(number)] if not refused]


@pytest.mark.parametrize(
    ("net", "cost"), [pytest.param(*closed, id="") for closed in RANDOM if closed[0].shortcut in COUNTED_SHORTCUTS]
)
def test_what_is_fused_computes_the_same_from_less(net, cost):
    levels = [kernels(net, fused) for fused in FUSED]
    for run in levels:
        assert sum(kernel.macs for kernel in run) == cost.macs
        known = {"images"}
        for kernel in run:  # all that is read was written before, and is not more than was written
            assert kernel.reads.keys() <= known
            known.add(kernel.writes)
        assert (run[-1].written, len(known)) == (levels[0][-1].written, len(run) + 1)
    moved = [sum(kernel.moved for kernel in run) for run in levels]
    weights = [sum(kernel.weights for kernel in run) for run in levels]
    assert moved == sorted(moved, reverse=True) and weights == sorted(weights, reverse=True)


# Its first batch norm reads what the shortcut reads too, and stays.
SHARED = Architecture("shared", (Block("block1", "basic_v2", ((16, 1),)),), CIFAR_ROOT, "A")


@pytest.mark.parametrize(
    "name", ["resnet_v2_50", "resnet_v1_50", "resnext_50_32x4d", SHARED], ids=lambda net: getattr(net, "name", net)
)
def test_folded_weights_are_those_of_the_frozen_graph(name):
    """There, a batch norm that cannot be folded keeps all four of its vectors."""
    frozen = frozen_graph(build(name, 32).function)
    left = [node for node in frozen.graph_def.node if node.op == "FusedBatchNormV3"]
    vectors = sum(prod(frozen.weights[norm.input[1]].shape) for norm in left)
    scalars = sum(value.shape.rank == 0 for value in frozen.weights.values())
    expected = sum(prod(value.shape) for value in frozen.weights.values()) - scalars - 2 * vectors
    assert sum(kernel.weights for kernel in kernels(name, "batch_norm", image_size=32)) == expected


def test_a_batch_norm_of_the_images_keeps_a_factor_and_a_term():
    net = Architecture("net", (Block("block1", "basic_v2", ((3, 1),)),), None)
    weights = [kernel.weights for kernel in kernels(net, "batch_norm", image_size=8) if kernel.kind == "conv"]
    assert weights[:2] == [2 * 3 + 81 + 3, 81 + 3]  # the BN between the two is folded, and the last one follows the sum


# A bottleneck by hand: x of 8x8 pixels and 16 channels through 4 channels, to 16 or, in half the size, 32.
X, INNER = 8 * 8 * 16, 8 * 8 * 4


@pytest.mark.parametrize(
    ("fused", "expected"),
    [
        # Three convolutions, their batch norms and the two ReLUs within; the sum and its ReLU.
        ("none", (X + INNER) + 2 * INNER + (INNER + X) + 2 * (2 * INNER) + 2 * X + 2 * (2 * INNER) + 3 * X + 2 * X),
        ("batch_norm", (X + INNER) + 2 * INNER + (INNER + X) + 3 * X),
        ("sum", (X + INNER) + 2 * INNER + (INNER + 2 * X)),
        ("unit", 2 * X),
    ],
)
def test_a_bottleneck_of_v1_by_hand(fused, expected):
    net = Architecture("net", (Block("block1", "bottleneck_v1", ((16, 4, 1),)),), None)
    unit = [k for k in kernels(net, fused, image_size=8, channels_in=16) if k.group.startswith("block1")]
    assert sum(kernel.moved for kernel in unit) == expected


@pytest.mark.parametrize(("shortcut", "read"), [("A", 4 * 4 * 16), ("B", 4 * 4 * 32)])
def test_a_sum_reads_of_the_shortcut_what_it_needs(shortcut, read):
    """A quarter of x where it is subsampled, and no zeros; or what the projection wrote."""
    net = Architecture("net", (Block("block1", "basic_v1", ((32, 2),)),), None, shortcut)
    last = [k for k in kernels(net, "sum", image_size=8, channels_in=16) if k.group.startswith("block1")][-1]
    assert sum(last.reads.values()) == 4 * 4 * 32 + read and last.name.endswith("conv2")


@given(kernel=st.integers(1, 3), stride=st.integers(1, 4), size=st.integers(1, 12))
def test_a_window_smaller_than_its_stride_leaves_pixels_out(kernel, stride, size):
    net = Architecture("net", (Block("block1", "basic_v1", ((1, 1),)),), Root(1, kernel, stride, 1))
    root = kernels(net, image_size=size, channels_in=1)[0]
    assert root.reads["images"] == min(size, kernel * ceil(size / stride)) ** 2


def test_a_unit_reads_x_once():
    """Its first convolution and its shortcut read the same."""
    for unit in kernels(ARCHITECTURES["resnet_v2_50"], "unit"):
        assert len(unit.reads) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fused": "all"}, "fused must be one of"),
        ({"shortcut": "scaling"}, "shortcut must be one of"),
        ({"image_size": 0}, "image_size"),
    ],
)
def test_what_cannot_be_said_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kernels("resnet_v1_cifar_20", **arguments)
