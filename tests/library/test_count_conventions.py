"""What a printed count counts: every published count of a residual network, and rows that no convention was fitted to."""

import re

import pytest

from resnet_lib import ARCHITECTURES, Block, Root, data
from resnet_lib.architectures import get_architecture
from resnet_lib.checks import height_and_width
from resnet_lib.count_conventions import CONVENTIONS, counted_by, elements, which_count
from resnet_lib.graph_cost import graph_cost
from resnet_lib.network import network_function
from resnet_lib.tf_slim_compat import tf

OTHERS = {"resnext50_32x4d": "resnext_50_32x4d", "wide_resnet50_2": "wide_resnet_50_2"}
# What a row's variant says about how it was counted: its beginning -> tools, and the layout where it says one.
VARIANTS = {
    "v1 paper": ("He et al. 2015", "paper"),
    "opt": ("He et al. 2015", "paper"),
    "paper": ("He et al. 2015", "paper"),
    "v1.5/torch": ("He et al. 2015", "v1.5"),
    "slim": ("He et al. 2015", "slim"),
    "torchvision": ("torchvision", "v1.5"),
    "timm": ("timm", "v1.5"),
    "imgclsmob": ("imgclsmob", None),
    "TF-SLIM up to": ("TensorFlow's profiler", "slim"),
    "TF-SLIM": ("tf-slim's table", "slim"),
    "ptflops pytorch": ("ptflops (pytorch)", "v1.5"),
    "ptflops aten": ("ptflops (aten)", "v1.5"),
    "thop": ("thop", "v1.5"),
    "calflops MACs": ("calflops MACs", "v1.5"),
    "calflops FLOPs": ("calflops FLOPs", "v1.5"),
    "convnet-burden": ("convnet-burden", None),
}
# Rows whose digits nobody's rule gives: of an older version of thop, a slip of calflops' page (its next column has another
# number), and one of imgclsmob, whose reason is not known; and the Open Model Zoo, whose rule is not known.
UNEXPLAINED = {"4.14", "11.61", "15.6909", "11,405.42M"}


def network(model):
    """The library's name for a residual network of the published table, None for others."""
    model = model.split(" (")[0]
    found = re.fullmatch(r"resnet(_?v[12])?_?(\d+)", model)
    return f"resnet_{(found[1] or 'v1').strip('_')}_{found[2]}" if found else OTHERS.get(model)


def published():
    """(model, image size, the printed number, images, tools, layout) of every count of a residual network."""
    for row in data.published("params_macs").itertuples():
        name, number = network(row.model), str(row.raw_value)
        if name and number != "nan" and row.variant != "OMZ":
            start = next(start for start in VARIANTS if row.variant.startswith(start))
            tools, layout = VARIANTS[start]
            stride = {"(paper)": "paper", '("b" = v1.5)': "v1.5"}
            layout = layout or next((value for words, value in stride.items() if words in row.variant), None)
            images = 128 if "/ 128" in number else 1
            yield name, int(row.input_size), number.split(" /")[0], images, tools, layout


ROWS = list(published())


@pytest.mark.parametrize("name, size, number, images, tools, layout", ROWS)
def test_every_published_count_is_read_as_its_source_counts(name, size, number, images, tools, layout):
    readings = which_count(number, name, image_size=size, batch_size=images)
    if number in UNEXPLAINED:
        assert not any(reading.fits for reading in readings) and abs(readings[0].off) < 0.003
        return
    own = [reading for reading in readings if tools in reading.tools]
    assert all(reading.fits for reading in readings) and own
    assert layout is None or any(layout in reading.layout.split(", ") for reading in own)
    if len(re.sub(r"\D", "", number)) > 5:
        assert len(readings) == 1  # six digits leave no doubt


def test_they_are_many():
    assert len(ROWS) > 120 and {row[2] for row in ROWS} >= UNEXPLAINED
    assert {tools for *_, tools, _ in ROWS} == {tools for tools, _ in VARIANTS.values()}


CIFAR_18, CIFAR_34, CIFAR_50, CIFAR_101 = (
    ARCHITECTURES[f"resnet_v1_{layers}"].variant(root=Root(64, 3, 1, 1), image_size=32, num_classes=10)
    for layers in (18, 34, 50, 101)
)


# Of OpenMMLab's model zoo (mmpretrain, docs/model_zoo.md at 05bf7da and configs/resnet/README.md). The convention was written
# after a look at the first five, and tested on the others: ResNeXt, squeeze-and-excitation, and ResNets for CIFAR-10 whose
# root is a 3x3. The last two are torchvision's, and Darknet's ResNet-50 at 256 pixels, whose shortcuts are free
# (WongKinYiu/CrossStagePartialNetworks, issue 31).
@pytest.mark.parametrize(
    "number, name, tools, options",
    [
        ("1.82", "resnet_v1_18", "OpenMMLab", {}),
        ("3.68", "resnet_v1_34", "OpenMMLab", {}),
        ("4.12", "resnet_v1_50", "OpenMMLab", {}),
        ("7.85", "resnet_v1_101", "OpenMMLab", {}),
        ("11.58", "resnet_v1_152", "OpenMMLab", {}),
        ("4.27", "resnext_50_32x4d", "OpenMMLab", {}),
        ("16.5", "resnext_101_32x8d", "OpenMMLab", {}),
        ("4.13", "se_resnet_50", "OpenMMLab", {}),
        ("0.56", CIFAR_18, "OpenMMLab", {}),
        ("1.16", CIFAR_34, "OpenMMLab", {}),
        ("1.31", CIFAR_50, "OpenMMLab", {}),
        ("2.52", CIFAR_101, "OpenMMLab", {}),
        ("16.414", "resnext_101_32x8d", "torchvision", {}),
        ("9.74", "resnet_v1_50", "FlopCounterMode", {"image_size": 256}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_counts_of_other_sources(number, name, tools, options):
    fitting = [reading for reading in which_count(number, name, **options) if reading.fits]
    assert any(tools in reading.tools and "v1.5" in reading.layout for reading in fitting)


@pytest.mark.parametrize(
    "number, name, convention, layout, shortcut, fits",
    [
        ("3.8", "resnet_v1_50", "MACs", "paper", "B", "cut off"),
        ("3.6", "resnet_v1_34", "MACs", "paper, v1.5", "A", "rounded"),
        (4089184256, "resnet_v1_50", "MACs", "v1.5", "B", "rounded"),
        ("8.18 GFLOPs", "resnet_v1_50", "2 x MACs", "v1.5", "B", "rounded"),
        ("4089.18M", "resnet_v1_50", "MACs", "v1.5", "B", "rounded"),
        (6.97, "resnet_v2_50", "2 x MACs + biases", "slim", "B", "rounded"),
        ("3.858e9", "resnet_v1_50", "MACs", "paper", "B", "rounded"),
        ("4.089 MACs", "resnet_v1_50", "MACs", "v1.5", "B", "rounded"),  # this M is no million
        ("4089 MMACs", "resnet_v1_50", "MACs", "v1.5", "B", "rounded"),
    ],
)
def test_the_first_reading_is_the_likeliest(number, name, convention, layout, shortcut, fits):
    first = which_count(number, name)[0]
    assert (first.convention, first.layout, first.shortcut, first.fits) == (convention, layout, shortcut, fits)


def test_a_number_that_fits_nothing_gets_the_three_nearest():
    readings = which_count("5.00", "resnet_v1_50")
    assert len(readings) == 3 and not any(reading.fits for reading in readings)
    assert [abs(reading.off) for reading in readings] == sorted(abs(reading.off) for reading in readings)
    assert readings[0].off == pytest.approx(5e9 / readings[0].operations - 1)


@pytest.mark.parametrize("number", ["", "many", 0, "0.0", -4.1, None, "3,8", "4.1 million", "4.11 cats", "4.1.1"])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(ValueError, match="number must be one above 0"):
        which_count(number, "resnet_v1_50")


def test_networks_of_ones_own_are_read_too():
    blocks = [Block("b", "basic_v2", [(8, 1), (16, 2)])]
    macs = elements(blocks, image_size=32).macs
    first, *_ = which_count(macs, blocks, image_size=32)
    assert (first.convention, first.layout) == ("MACs", "own")
    with pytest.raises(ValueError, match="vgg_16"):
        which_count("15.5", "vgg_16")


@pytest.mark.parametrize("name", ["resnet_v1_cifar_20", "resnet_v2_50", "resnet_v1_50"])
def test_the_elements_are_those_of_the_graph(name):
    """What the operations of its graph write, by their types."""
    net = get_architecture(name)
    height, width = height_and_width(net.image_size)
    with tf.Graph().as_default() as graph:
        network_function(net)(tf.compat.v1.placeholder(tf.float32, [1, height, width, 3]), is_training=False)

    def written(kind, chosen=lambda op: "/Initializer/" not in op.name):
        operations = (op for op in graph.get_operations() if op.type == kind and chosen(op))
        return sum(op.outputs[0].shape.num_elements() for op in operations)

    def window(op):
        return max(op.get_attr("ksize"))

    found = elements(name)
    assert found.macs == graph_cost(graph).macs
    assert (found.norm, found.relu) == (written("FusedBatchNormV3"), written("Relu"))
    assert (found.bias, found.add) == (written("BiasAdd"), written("AddV2"))
    assert found.pool == written("MaxPool", lambda op: window(op) > 1)
    assert found.subsample == written("MaxPool", lambda op: window(op) == 1)
    means = [op for op in graph.get_operations() if op.type == "Mean"]
    assert [op.inputs[0].shape.num_elements() for op in means] == [found.mean]


def test_a_convention_counts_what_its_tool_prints():
    by_tool = {convention.tools: convention for convention in CONVENTIONS}
    assert counted_by(by_tool["calflops FLOPs"], "resnet_v1_50", layout="v1.5") == pytest.approx(8.21111e9, abs=5e3)
    without = counted_by(by_tool["convnet-burden"], "resnet_v1_18")
    assert without == counted_by(by_tool["convnet-burden"], "resnet_v1_18", num_classes=None)


def test_each_convention_has_a_name_and_a_tool_of_its_own():
    assert len({convention.name for convention in CONVENTIONS}) == len(CONVENTIONS)
    assert all(set(convention.operations) <= set(elements("plain_cifar_20")._fields) for convention in CONVENTIONS)
