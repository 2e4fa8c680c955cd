"""The bound of a forward pass: by hand, against numbers worked out elsewhere, and against the fastest runs on record."""

from math import inf, isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lib import ARCHITECTURES, Architecture, Block, cost, data
from resnet_lib.roofline import BYTES, DEVICES, Device, predict
from resnet_lib.traffic import FUSED, kernels

SLOW = Device(
    "slow", {"float32": 1e-6, "int8": 2e-6}, 1e-6, 0.001, "made up: 10^6 a second of each, and 1,000 bytes of cache"
)
# One convolution of 3x3, 4 to 4 channels, on 8x8: 9,216 MACs and 256 numbers in and out; then 1x1 to 10 classes.
ONE = Architecture("one", (Block("block1", "basic_v1", ((4, 1),)),), None, "none", image_size=8, num_classes=None)


def test_a_plain_unit_by_hand():
    found = predict(ONE, SLOW, 2, channels_in=4, global_pool=False)
    first, second = found.bounds
    weights = 4 * (9 * 4 * 4 + 4)
    for bound in (first, second):
        assert bound.flops == 2 * 2 * 9216 and bound.bytes == 4 * 2 * (256 + 256) + weights
        assert bound.compute_s == pytest.approx(0.036864) and bound.memory_s == pytest.approx(bound.bytes / 1e6)
        assert (bound.seconds, bound.limit) == (bound.compute_s, "compute")
    assert found.seconds == pytest.approx(2 * 0.036864) and found.images_per_s == pytest.approx(2 / found.seconds)
    assert found.seconds_without_overlap == pytest.approx(2 * (0.036864 + first.memory_s))
    assert found.memory_bound_share == 0 and found.memory == 2 * weights + 4 * 2 * (256 + 256)


def test_narrower_numbers_take_less_memory_and_time():
    wide, narrow = (predict(ONE, SLOW, 2, precision, channels_in=4, global_pool=False) for precision in SLOW.tflops)
    assert [bound.bytes for bound in wide.bounds] == [4 * bound.bytes for bound in narrow.bounds]
    assert wide.seconds == pytest.approx(2 * narrow.seconds) and wide.memory == 4 * narrow.memory


def test_what_fits_into_the_cache_does_not_go_through_memory():
    """1,000 bytes hold 250 numbers: not the 256 of a map in float32, which int8 leaves room for; and not the weights."""
    options = {"channels_in": 4, "global_pool": False, "in_cache": True}
    wide, narrow = (predict(ONE, SLOW, 1, precision, **options) for precision in SLOW.tflops)
    assert [bound.bytes for bound in wide.bounds] == [4 * (512 + 148)] * 2
    assert [bound.bytes for bound in narrow.bounds] == [0] * 2  # all weights together are 296 bytes
    large = SLOW._replace(cache_mb=inf)
    assert all(bound.bytes == 0 for bound in predict("resnet_v1_18", large, in_cache=True).bounds)


def test_a_map_that_does_not_fit_into_the_cache_goes_through_memory_in_part():
    """Every other pixel of a map of 1,024 bytes: the 256 that are read lie in memory, not in a cache of 1,000."""
    net = Architecture("net", (Block("block1", "bottleneck_v1", ((4, 4, 2),)),), None, "none", "1x1")
    first = predict(net, SLOW, 1, image_size=8, channels_in=4, in_cache=True).bounds[0]
    assert first.bytes == 256 + 4 * first.kernel.weights


@pytest.mark.parametrize("layers", [50, 152])
@pytest.mark.parametrize(
    ("device", "images_per_s"), [("H100", {50: 52_800, 152: 23_300}), ("H200", {50: 68_900, 152: 29_800})]
)
def test_it_is_what_was_worked_out_elsewhere(device, layers, images_per_s):
    """By others, who let a strided 1x1 convolution read all pixels; to 3 %."""
    found = predict(f"resnet_v1_{layers}", device, 256, "bfloat16", layout="v1.5")
    assert found.images_per_s == pytest.approx(images_per_s[layers], rel=0.03)
    alone = 256 / sum(bound.compute_s for bound in found.bounds)
    assert alone == pytest.approx({50: 121_000, 152: 43_000}[layers], rel=0.005)


def test_nothing_on_record_is_faster_than_its_bound():
    """MLPerf's and timm's rates, of the devices that the table has."""
    records = data.published("gpu_records")
    names = {"int8": "int8", "bf16": "bfloat16", "amp": "float16"}
    compared = 0
    for row in records.itertuples():
        device = next((d for d in DEVICES.values() if f"NVIDIA {d.name} " in f"{row.device} "), None)
        if device is None:
            continue
        number = int(row.device.split("(")[1].rstrip(")")) if "(" in row.device else 1
        layers = row.network.removeprefix("ResNet-")
        batch_size = 2048 if isnan(row.batch_size) else int(row.batch_size)
        found = predict(f"resnet_v1_{layers}", device, batch_size, names[row.precision], layout="v1.5")
        assert 0.1 < float(row.images_per_s) / number / found.images_per_s < 1
        compared += 1
    assert compared >= 4


def most_alive(run, images):
    """A second way: at each kernel, all that was written so far and that it or a later one reads, or that is the result."""
    sizes = {"images": images} | {kernel.writes: kernel.written for kernel in run}
    most = 0
    for i, kernel in enumerate(run):
        written = {"images", *(earlier.writes for earlier in run[: i + 1])}
        read = {tensor for later in run[i:] for tensor in later.reads} | {run[-1].writes, kernel.writes}
        most = max(most, sum(sizes[tensor] for tensor in written & read))
    return most


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("name", ["resnet_v2_50", "resnet_v1_34", "plain_cifar_20", "se_resnet_50"])
def test_memory_is_the_weights_and_what_is_alive_at_once(name, fused):
    net, run = ARCHITECTURES[name], kernels(name, fused)
    weights = sum(kernel.weights for kernel in run)
    expected = 4 * (weights + 3 * most_alive(run, 3 * net.image_size**2))
    assert predict(name, "laptop", 3, fused=fused).memory == expected


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["resnet_v1_18", "resnet_v2_50", "resnext_50_32x4d"]),
    device=st.sampled_from([*DEVICES]),
    batch_size=st.integers(1, 300),
    fused=st.sampled_from(FUSED),
)
def test_what_holds_of_every_bound(name, device, batch_size, fused):
    found = predict(name, device, batch_size, fused=fused)
    compute = 2 * cost(name).macs * batch_size / (DEVICES[device].tflops["float32"] * 1e12)
    assert compute <= found.seconds * (1 + 1e-9) and found.seconds <= found.seconds_without_overlap <= 2 * found.seconds
    assert 0 <= found.memory_bound_share <= 1
    assert predict(name, device, batch_size, fused=fused, in_cache=True).seconds <= found.seconds
    assert predict(name, device, batch_size + 1, fused=fused).images_per_s >= found.images_per_s * (1 - 1e-9)
    levels = [predict(name, device, batch_size, fused=level).seconds for level in FUSED]
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("name", ["resnet_v2_50", "resnet_v2_152"])
def test_what_the_cards_wait_for(name):
    """The summary of chapter 08: 16 bits, sums fused."""
    for device in ("H200", "H100", "A100", "V100", "RTX 4090"):
        precision = "float16" if device == "V100" else "bfloat16"
        options = {"precision": precision, "fused": "sum"}
        one, many = (predict(name, device, batch_size=n, **options).memory_bound_share for n in (1, 32))
        assert one > 0.65 and (many > 0.6 if device in ("H200", "H100") else 0.35 < many < 0.55)


def test_devices_have_a_source_and_precisions_of_known_size():
    for name, device in DEVICES.items():
        assert device.name == name and len(device.source) > 10 and {*device.tflops} <= {*BYTES}
    listed = data.published("devices").set_index("device")
    for name, device in (("NVIDIA H100 SXM", "H100"), ("NVIDIA H200", "H200")):
        row = listed.loc[name]
        assert float(row["memory_tb_per_s"]) == DEVICES[device].tb_per_s
        assert float(row["peak_tflops"]) == pytest.approx(DEVICES[device].tflops[row["precision"]], rel=1e-3)


def test_seconds_are_those_of_a_part_of_the_network():
    found = predict("resnet_v1_50")
    parts = ["root", "block1", "block2", "block3", "block4", "classifier"]
    assert sum(map(found.seconds_of, parts)) == pytest.approx(found.seconds)
    assert 0 < found.seconds_of("block1/unit_2") < found.seconds_of("block1")
    for scope in ("block9", "block", "block1/unit_4", "", "conv1"):
        with pytest.raises(ValueError, match=f"scope must be 'root', .* of resnet_v1_50, got '{scope}'"):
            found.seconds_of(scope)


def test_its_name_says_what_was_predicted():
    text = repr(predict("resnet_v2_152", "H200", 32, "bfloat16"))
    for part in ("resnet_v2_152", "H200", "batch 32", "bfloat16", "fused: sum", "ms", "images/s"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "abacus"}, r"device must be one of .*'; or give a Device, such as timing.this_machine\(\)"),
        ({"precision": "int8", "device": "V100"}, "precision must be one of"),
        ({"precision": "fp8", "device": SLOW._replace(tflops={"fp8": 1})}, "precision must be one of .*'int8'"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"fused": "all"}, "fused must be one of"),
        ({"layout": "mine"}, "layout must be one of"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        predict("resnet_v1_50", **arguments)


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        *(("tflops", {"float32": value}, r"tflops\['float32'\]") for value in (0, -1.0, nan, "1", None)),
        ("tflops", 3.0, "tflops must be a dict"),
        *(("tb_per_s", value, "tb_per_s") for value in (0.0, -1, nan, "1")),
        *(("cache_mb", value, "cache_mb") for value in (-1, nan, "1", None)),
    ],
)
def test_a_device_is_checked(field, value, name):
    with pytest.raises((ValueError, TypeError), match=f"^device.{name}"):
        predict(ONE, SLOW._replace(**{field: value}), channels_in=4)
