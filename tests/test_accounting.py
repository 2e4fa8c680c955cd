import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_lib import ARCHITECTURES, Block, cost, trace
from resnet_lib.data import published

# Trainable parameters and MACs at 224x224 and 1000 classes (tf-slim's layout: the stride in a block's last unit).
EXACT = {
    "resnet_v2_50": (25_568_360, 3_482_255_360),
    "resnet_v2_101": (44_577_896, 7_194_476_544),
    "resnet_v2_152": (60_236_904, 10_906_697_728),
    "resnet_v2_200": (64_726_120, 14_400_552_960),
}


def test_exact_integers_of_every_named_network():
    assert {name: cost(name)[:2] for name in ARCHITECTURES} == EXACT


@pytest.mark.parametrize(("model", "params", "gmacs"), [
    pytest.param(row.model, row.params, row.gmacs, id=f"{row.model}-{row.source}")
    for row in published("params_macs").query("variant == 'TF-SLIM' and input_size == 224").itertuples()
    if row.model in ARCHITECTURES
])  # fmt: skip
def test_published_counts_of_slim_are_ours(model, params, gmacs):
    """Published by tfprof, whose FLOPs also hold biases, pooling and additions: a little more than 2 x MACs."""
    assert cost(model).params == int(params)
    assert 0 < gmacs - cost(model).macs / 1e9 < 0.015


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


def test_output_stride_keeps_parameters_and_densifies_features():
    for output_stride, size in [(4, 56), (8, 28), (16, 14), (32, 7)]:
        layers = trace("resnet_v2_50", output_stride=output_stride, global_pool=False)
        assert layers[-1].size_out == (size, size)
        assert layers[-1].effective_stride == output_stride
        assert sum(layer.params for layer in layers) == EXACT["resnet_v2_50"][0]
        assert layers[-1].receptive_field == 483  # atrous rates make up for the strides


@given(height=st.integers(1, 400), width=st.integers(1, 400))
def test_sizes_are_ceilings(height, width):
    layers = trace("resnet_v2_50", (height, width), global_pool=False)
    assert layers[-1].size_out == (-(-height // 32), -(-width // 32))


def test_no_classifier_and_other_classes():
    assert cost("resnet_v2_50").params - cost("resnet_v2_50", num_classes=None).params == 2048 * 1000 + 1000
    assert cost("resnet_v2_50", num_classes=10).params == cost("resnet_v2_50", num_classes=None).params + 20490


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="nearest is 'resnet_v2_50'"):
        cost("resnet_v2_5")
    with pytest.raises(ValueError, match="image_size must be a positive whole number, got 0"):
        cost("resnet_v2_50", 0)
    with pytest.raises(TypeError, match="num_classes must be a positive whole number, got 10.5"):
        cost("resnet_v2_50", num_classes=10.5)
    with pytest.raises(ValueError, match="output_stride must be a multiple of 4"):
        cost("resnet_v2_50", output_stride=6)
    with pytest.raises(ValueError, match=r"cannot be reached: .* reach \[1, 2, 4, 8\], not 16"):
        cost("resnet_v2_50", output_stride=64)
    with pytest.raises(ValueError, match="channels_in must be"):
        cost("resnet_v2_50", channels_in=-3)
    with pytest.raises(ValueError, match="unit_fn must be one of .*bottleneck_v2"):
        cost([Block("b", "bottleneck_v9", [(8, 2, 1)])])


def test_counting_needs_neither_tensorflow_nor_matplotlib():
    program = (
        "import sys, resnet_lib; resnet_lib.cost('resnet_v2_50'); assert 'pandas' not in sys.modules\n"
        "resnet_lib.depth_table()\n"
        "print({'tensorflow', 'matplotlib', 'tf_slim'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"
