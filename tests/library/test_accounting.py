import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_lib import ARCHITECTURES, Block, cost, trace
from resnet_lib.architectures import get_architecture
from resnet_lib.blocks import ROOT_POOLING
from resnet_lib.units import SHORTCUTS

# Trainable parameters and MACs of an image, 224x224 and 1000 classes, CIFAR's 32x32 and 10, in each network's own layout.
EXACT = {
    "plain_18": (11_515_688, 1_794_805_760),
    "plain_34": (21_623_848, 3_644_493_824),
    "resnet_v1_18": (11_689_512, 1_814_073_344),
    "resnet_v1_34": (21_797_672, 3_663_761_408),
    "resnet_v1_50": (25_557_032, 3_482_255_360),
    "resnet_v1_101": (44_549_160, 7_194_476_544),
    "resnet_v1_152": (60_192_808, 10_906_697_728),
    "resnet_v1_200": (64_673_832, 14_400_552_960),
    "resnet_v2_18": (11_690_600, 1_814_073_344),
    "resnet_v2_34": (21_800_616, 3_663_761_408),
    "resnet_v2_50": (25_568_360, 3_482_255_360),
    "resnet_v2_101": (44_577_896, 7_194_476_544),
    "resnet_v2_152": (60_236_904, 10_906_697_728),
    "resnet_v2_200": (64_726_120, 14_400_552_960),
    "wide_resnet_50_2": (68_883_240, 11_398_021_120),
    "resnext_50_32x4d": (25_028_904, 4_230_479_872),
    "resnext_101_32x8d": (88_791_336, 16_414_015_488),
    "se_resnet_50": (28_088_024, 3_860_488_192),
    "plain_cifar_20": (269_722, 40_551_040),
    "plain_cifar_32": (464_154, 68_862_592),
    "plain_cifar_44": (658_586, 97_174_144),
    "plain_cifar_56": (853_018, 125_485_696),
    "plain_cifar_110": (1_727_962, 252_887_680),
    "resnet_v1_cifar_20": (269_722, 40_551_040),
    "resnet_v1_cifar_32": (464_154, 68_862_592),
    "resnet_v1_cifar_44": (658_586, 97_174_144),
    "resnet_v1_cifar_56": (853_018, 125_485_696),
    "resnet_v1_cifar_110": (1_727_962, 252_887_680),
    "resnet_v1_cifar_1202": (19_421_274, 2_829_238_912),
    "resnet_v2_cifar_164": (1_711_786, 244_500_992),
    "resnet_v2_cifar_1001": (10_377_898, 1_487_849_984),
}
LAYOUT_MACS = {  # of 50, 101, 152 and 200 layers, V1 and V2 alike
    "paper": [3_857_973_248, 7_570_194_432, 11_282_415_616, 14_776_270_848],
    "v1.5": [4_089_184_256, 7_801_405_440, 11_513_626_624, 15_007_481_856],
    "slim": [3_482_255_360, 7_194_476_544, 10_906_697_728, 14_400_552_960],
}


def test_exact_integers_of_every_named_network():
    assert {name: cost(name)[:2] for name in ARCHITECTURES} == EXACT


@pytest.mark.parametrize("version", [1, 2])
def test_layouts_change_macs_by_the_same_at_every_depth_and_parameters_not_at_all(version):
    names = [f"resnet_v{version}_{layers}" for layers in (50, 101, 152, 200)]
    for layout, macs in LAYOUT_MACS.items():
        assert [cost(name, layout=layout)[:2] for name in names] == [
            (EXACT[name][0], count) for name, count in zip(names, macs, strict=True)
        ]


def test_cifar_parameters_are_those_of_the_papers():
    """He et al. 2015, Table 6, and He et al. 2016, Table 4. Its 10.2 M for V2-1001 count neither batch norms nor biases."""
    millions = {20: "0.27", 32: "0.46", 44: "0.66", 56: "0.85", 110: "1.73", 1202: "19.42"}
    assert {n: f"{cost(f'resnet_v1_cifar_{n}').params / 1e6:.2f}" for n in millions} == millions
    assert f"{cost('resnet_v2_cifar_164').params / 1e6:.1f}" == "1.7"
    weights = sum(
        la.macs // (la.size_out[0] * la.size_out[1]) for la in trace("resnet_v2_cifar_1001") if la.kind == "conv"
    )
    assert weights == 10_178_480


def test_shortcuts_by_hand():
    """ResNet-18: B projects 64 -> 128 -> 256 -> 512 with batch norm, C in each of the 8 units; A and "none" cost nothing."""
    plain = EXACT["plain_18"][0]
    strided = 64 * 128 + 128 * 256 + 256 * 512 + 2 * (128 + 256 + 512)
    square = 2 * 64**2 + 128**2 + 256**2 + 512**2 + 2 * (2 * 64 + 128 + 256 + 512)
    counts = {shortcut: cost("resnet_v1_18", shortcut=shortcut).params for shortcut in ("none", "A", "B", "C")}
    assert counts == {"none": plain, "A": plain, "B": plain + strided, "C": plain + strided + square}


def test_wide_resnet_is_a_list_of_blocks():
    own = [
        Block(
            f"b{i}", "bottleneck_v1", [(256 * 2**i, 128 * 2**i, 1 + (i > 0))] + [(256 * 2**i, 128 * 2**i, 1)] * (n - 1)
        )
        for i, n in enumerate((3, 4, 6, 3))
    ]
    assert cost(own) == cost("wide_resnet_50_2")


def test_squeeze_and_excitation_by_hand():
    """Hu et al. 2018, equation 5: 2 C^2 / 16 weights a unit of C channels, and here the biases of the two layers."""
    units = {256: 3, 512: 4, 1024: 6, 2048: 3}
    weights = sum(n * 2 * depth * depth // 16 for depth, n in units.items())
    biases = sum(n * (depth + depth // 16) for depth, n in units.items())
    plain, gated = cost("resnet_v1_50", layout="paper"), cost("se_resnet_50")
    assert (gated.params - plain.params, gated.macs - plain.macs) == (weights + biases, weights)
    gate = [layer for layer in trace("se_resnet_50") if layer.name.startswith("block4/unit_3/se_bottleneck_v1/squeeze")]
    assert [(la.kind, la.size_out, la.channels_out) for la in gate] == [
        ("global_pool", (1, 1), 2048),
        ("conv", (1, 1), 128),
        ("conv", (1, 1), 2048),
    ]


def test_groups_divide_the_weights_of_the_3x3_and_nothing_else():
    """Xie et al. 2017, Table 1: with 128 channels in 32 groups, a unit costs what one with 64 channels does."""
    grouped, whole = (
        [Block("b", kind, [(256, 128, 1, *g)])] for kind, g in (("grouped_bottleneck_v1", (32,)), ("bottleneck_v1", ()))
    )
    difference = cost(whole).params - cost(grouped).params
    assert difference == 9 * 128 * 128 - 9 * 128 * 128 // 32
    middle = next(layer for layer in trace(grouped) if layer.name.endswith("conv2"))
    assert (middle.groups, middle.label) == (32, "3x3 conv 128, 32 groups")
    assert all(layer.groups == 1 for layer in trace(grouped) if layer is not middle and layer.name != middle.name)


def test_every_layer_has_a_label():
    labels = [layer.label for layer in trace("resnet_v1_cifar_20", shortcut="A")]
    assert labels[:6] == ["input", "3x3 conv 16", "BN", "3x3 conv 16", "BN", "3x3 conv 16"]
    layers = {layer.name: layer.label for layer in trace("resnet_v2_50")}
    assert (layers["images"], layers["pool1"], layers["pool5"]) == ("input", "3x3 max pool /2", "mean")
    assert layers["block1/unit_3/bottleneck_v2/shortcut"] == "subsample /2"
    networks = [*ARCHITECTURES, *(get_architecture("resnet_v1_18", shortcut=shortcut) for shortcut in SHORTCUTS)]
    assert all(layer.label for network in networks for layer in trace(network))


def test_a_network_that_is_not_a_list_of_blocks_is_counted_from_its_graph():
    assert cost("vgg_16")[:2] == (138_357_544, 15_470_264_320)  # torchvision's
    assert cost("vgg_16", num_classes=10).params == 138_357_544 - 990 * 4097
    with pytest.raises(ValueError, match="layout: 'vgg_16' is not a list of Blocks; got 'paper'"):
        cost("vgg_16", layout="paper")
    with pytest.raises(ValueError, match="'vgg_16' is not a list of Blocks"):
        trace("vgg_16")


def test_one_unit_by_hand():
    """(256, 64, 1) on 256 channels at 56x56: 256*64 + 9*64*64 + 64*256 weights, each used at every position."""
    layers = trace([Block("b", "bottleneck_v2", [(256, 64, 1)] * 2)], image_size=224)
    unit = [layer for layer in layers if layer.name.startswith("b/unit_2")]
    weights = 256 * 64 + 9 * 64 * 64 + 64 * 256
    assert sum(layer.macs for layer in unit) == weights * 56 * 56
    assert sum(layer.params for layer in unit) == weights + 256 + 2 * (256 + 64 + 64)  # a bias, and gamma and beta
    assert unit[0].name == "b/unit_2/bottleneck_v2/preact" and unit[-1].kind == "add"


def test_sizes_strides_and_receptive_fields_of_resnet_v2_50():
    """Receptive fields of tf-slim's V2 as google-research/receptive_field publishes them: 483 before the pooling."""
    last = {layer.name: layer for layer in trace("resnet_v2_50")}
    ends = [last[f"block{i}/unit_{n}/bottleneck_v2"] for i, n in enumerate((3, 4, 6, 3), 1)]
    assert [end.size_out for end in ends] == [(28, 28), (14, 14), (7, 7), (7, 7)]
    assert [end.effective_stride for end in ends] == [8, 16, 32, 32]
    assert ends[-1].receptive_field == 483
    assert trace("resnet_v2_101")[-4].receptive_field == 1027
    assert trace("resnet_v2_152")[-4].receptive_field == 1507
    assert trace("resnet_v2_200")[-4].receptive_field == 1763


def test_the_padding_of_the_roots_pooling_is_the_one_that_is_asked_for():
    """SAME pads an even size at its end only; the others put a row and a column first, 2 pixels of the image away."""
    padding = {rule: trace("resnet_v1_50", root_pooling=rule)[3].effective_padding for rule in ROOT_POOLING}
    assert padding == {"SAME": (3, 3), "zeros": (5, 5), "symmetric": (5, 5)}


def test_output_stride_keeps_parameters_and_densifies_features():
    for output_stride, size in [(4, 56), (8, 28), (16, 14), (32, 7)]:
        layers = trace("resnet_v2_50", output_stride=output_stride, global_pool=False)
        assert layers[-1].size_out == (size, size)
        assert layers[-1].effective_stride == output_stride
        assert layers[-1].receptive_field == 483 and max(layer.rate for layer in layers) == 32 // output_stride
        assert sum(layer.params for layer in layers) == EXACT["resnet_v2_50"][0]
        assert layers[-1].receptive_field == 483  # atrous rates make up for the strides


@given(height=st.integers(1, 400), width=st.integers(1, 400))
def test_sizes_are_ceilings(height, width):
    layers = trace("resnet_v2_50", (height, width), global_pool=False)
    assert layers[-1].size_out == (-(-height // 32), -(-width // 32))


def test_no_classifier_and_other_classes():
    assert cost("resnet_v2_50").params - cost("resnet_v2_50", num_classes=None).params == 2048 * 1000 + 1000
    assert cost("resnet_v1_cifar_20") == cost("resnet_v1_cifar_20", 32, 10) != cost("resnet_v1_cifar_20", 224, 1000)
    assert cost("resnet_v2_50", num_classes=10).params == cost("resnet_v2_50", num_classes=None).params + 20490


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="near are .*'resnet_v2_50'"):
        cost("resnet_v2_5")
    with pytest.raises(ValueError, match="image_size must be a positive whole number, got 0"):
        cost("resnet_v2_50", 0)
    with pytest.raises(TypeError, match="num_classes must be a positive whole number, got 10.5"):
        cost("resnet_v2_50", num_classes=10.5)
    for stride in (6, 64, 1):
        with pytest.raises(ValueError, match=rf"output_stride must be one of \[4, 8, 16, 32\], .* got {stride}$"):
            cost("resnet_v2_50", output_stride=stride)
    with pytest.raises(ValueError, match="cannot be reached"):
        cost("resnet_v1_cifar_20", output_stride=3)
    with pytest.raises(
        ValueError, match="b/unit_1/basic_v1: shortcut 'A' pads .* cannot turn 64 channels into 32; use 'B'"
    ):
        cost([Block("b", "basic_v1", [(32, 1)])], shortcut="A")
    narrowed = 9 * 64 * 32 + 9 * 32 * 32 + 2 * 32 + 2 * 32  # a plain unit adds nothing, so nothing has to fit
    layers = trace([Block("b", "basic_v1", [(32, 1)])], shortcut="none")
    assert sum(layer.params for layer in layers if layer.name.startswith("b/")) == narrowed
    with pytest.raises(ValueError, match="channels_in must be"):
        cost("resnet_v2_50", channels_in=-3)
    with pytest.raises(ValueError, match="unit_fn must be one of .*bottleneck_v2"):
        cost([Block("b", "bottleneck_v9", [(8, 2, 1)])])


def test_a_layout_costs_what_the_docstring_of_cost_says():
    """Which named network has which: test_architectures."""
    assert cost("resnet_v1_50", layout="paper").macs / cost("resnet_v1_50").macs == pytest.approx(1.11, abs=0.005)
