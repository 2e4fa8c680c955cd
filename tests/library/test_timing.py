import csv
import sys

import numpy as np
import pandas as pd
import pytest

from resnet_lib import Block, Network, build, data, timing
from resnet_lib.resnet_v2 import resnet_arg_scope, resnet_v2
from resnet_lib.tf_slim_compat import slim, tf
from resnet_lib.timing import Timing, append_row, time_forward, time_tensorflow_run

BLOCKS = [Block("block1", "bottleneck_v2", [(8, 2, 1)])]


class Clock:
    """A clock that reads 0, 1, 3, 6, 10, ... seconds: the k-th thing timed takes k-th odd time 1, 3, 5, ..."""

    def __init__(self):
        self.now, self.readings = 0.0, 0

    def __call__(self):
        self.now += self.readings
        self.readings += 1
        return self.now


@pytest.fixture(scope="module")
def network():
    return build(BLOCKS, image_size=16, num_classes=3)


@pytest.fixture
def quick_matmul(monkeypatch):
    monkeypatch.setattr(timing, "matmul_tflops", lambda: 2.0)


class Counting(Network):
    """A network that counts its calls."""

    def __init__(self, network):
        vars(self).update(_network=network, calls=0)

    def __getattr__(self, name):
        return getattr(self._network, name)

    def forward(self, images):
        self.calls += 1
        return self._network.forward(images)


def test_the_first_call_and_the_warm_up_are_not_among_the_samples(network, quick_matmul):
    counting, clock = Counting(network), Clock()
    measured = time_forward(counting, batch_size=2, num_batches=3, num_steps_burn_in=4, clock=clock)
    assert counting.calls == 1 + 4 + 3
    assert clock.readings == 2 * (1 + 3)  # the warm-up is not timed
    assert measured.first_call_ms == 1000
    assert measured.samples_ms == (3000, 5000, 7000)
    assert (measured.median_ms, measured.p10_ms, measured.p90_ms) == pytest.approx((5000, 3400, 6600))
    assert measured.images_per_s == pytest.approx(2 / 5)
    assert measured.tflops == pytest.approx(2 * network.cost().macs * 2 / 5 / 1e12)
    assert measured.share_of_matmul == pytest.approx(measured.tflops / 2)


def test_a_record_says_what_was_measured_on_what(network, quick_matmul):
    measured = time_forward(network, batch_size=1, num_batches=1)
    assert (measured.network, measured.batch_size, measured.image_size) == ("resnet_v2", 1, "16x16")
    assert measured.precision == "float32" and measured.engine == "unfrozen" and measured.error is None
    assert measured.device and measured.threads >= 1 and measured.date.startswith("20")
    assert tf.__version__ in measured.versions


def test_the_device_is_told_apart_from_others_of_its_name_and_the_precision_is_the_one_that_runs(
    network, quick_matmul, monkeypatch
):
    monkeypatch.setattr(timing, "processor", lambda: "AMD EPYC (family 25, model 1; avx2)")
    measured = time_forward(network, batch_size=1, num_batches=1)
    assert (measured.device, measured.precision, measured.engine) == (
        "AMD EPYC (family 25, model 1; avx2)",
        "float32",
        "unfrozen",
    )
    frozen = network.freeze("bfloat16")
    assert time_forward(frozen, batch_size=1, num_batches=1).precision == frozen.precision
    frozen.precision = "float32"  # as on a processor without bfloat16, in OpenVINO
    assert frozen.requested_precision == "bfloat16"
    assert time_forward(frozen, batch_size=1, num_batches=1).precision == "float32"
    assert time_forward(frozen, batch_size=10**9).precision == "float32"  # also where there is no memory for it


def test_a_graphics_card_is_named_by_itself(network, quick_matmul, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["card"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda card: {"device_name": "NVIDIA A100"})
    measured = time_forward(network, batch_size=1, num_batches=1)
    assert (measured.device, measured.threads) == ("NVIDIA A100", None)


def test_this_machine_is_measured(monkeypatch):
    """Rates are the operations and bytes of a call over its best time; no limit on what a machine may reach."""
    monkeypatch.setattr(timing, "matmul_tflops", lambda: 0.25)
    monkeypatch.setattr(timing, "_best_seconds", lambda call, seconds: (call(), 2.0)[1])
    copied, copy = timing._copying(2**12)
    monkeypatch.setattr(timing, "_copying", lambda: (copied, copy))
    found = timing.this_machine.__wrapped__()
    assert found.tflops == {"float32": 0.25} and found.name == timing.processor()
    assert found.tb_per_s == pytest.approx(2 * 2**12 * timing.usable_cores() / 2 / 1e12)
    monkeypatch.setattr(timing, "matmul_tflops", lambda: 0.0)
    operations = 2 * 16 * 28 * 28 * 256 * 256 * 9
    assert timing.this_machine.__wrapped__().tflops["float32"] == pytest.approx(operations / 2 / 1e12)
    assert found.cache_mb >= 0 and "tensorflow" in found.source


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1", None])
def test_how_long_a_machine_is_measured_is_checked(seconds):
    with pytest.raises((ValueError, TypeError), match="^seconds must be a number >= 0, got"):
        timing.this_machine(seconds)


def test_the_spread_of_a_median_by_hand():
    assert timing.median_spread([9, 1, 8, 2, 7, 3, 6, 4, 5]) == pytest.approx((6 - 4) / 2 / 5)
    assert timing.median_spread([3.0] * 5) == 0 and timing.median_spread([3.0] * 4) == float("inf")
    assert timing.median_spread([1, 1, 1, 1, 1, 1, 1, 1, 1000]) == 0  # one that was disturbed does not matter


def test_the_spread_holds_the_true_median_two_times_out_of_three():
    draws = np.random.default_rng(0).exponential(size=(2000, 40)) + 1
    true = 1 + np.log(2)
    held = [abs(np.median(d) - true) < timing.median_spread(d) * np.median(d) for d in draws]
    assert 0.55 < np.mean(held) < 0.8


class Durations:
    """A clock by which the calls take these seconds, in turn."""

    def __init__(self, *seconds):
        self.seconds, self.now, self.readings = seconds, 0.0, 0

    def __call__(self):
        if self.readings % 2:
            self.now += self.seconds[self.readings // 2 % len(self.seconds)]
        self.readings += 1
        return self.now


def test_it_samples_until_the_median_is_sure_or_its_time_is_over(network, quick_matmul):
    def samples(clock, **options):
        return time_forward(network, 1, num_batches=None, num_steps_burn_in=0, clock=clock, **options).samples_ms

    assert samples(Durations(2.0)) == (2000,) * 5
    assert sum(samples(Durations(1.0, 3.0), seconds=20)) == pytest.approx(20_000 + 1000, abs=2000)
    assert len(samples(Durations(1.0, 1.1, 0.9, 1.05, 0.95), seconds=1000)) > 20
    assert samples(Durations(100.0)) == (100_000,)  # one at least, however long it takes
    with pytest.raises(ValueError, match="seconds must be a number"):
        samples(Durations(1.0), seconds=-1)


def test_what_a_sample_costs_does_not_grow_with_their_number():
    """Counted in calls of functions, while every other sample takes three times as long and the median is never sure."""

    def calls(number):
        events = []
        sys.setprofile(lambda frame, event, arg: events.append(event))
        try:
            samples = timing._samples_ms(lambda: None, None, 2 * number, Durations(1.0, 3.0), False, "net")
        finally:
            sys.setprofile(None)
        assert len(samples) == number
        return sum(event in ("call", "c_call") for event in events)

    assert calls(400) < 5 * calls(100)


def test_the_best_of_some_runs_is_kept():
    done = []
    best = timing._best_seconds(lambda: done.append(None), 0.01)
    assert 0 < best < 1 and len(done) > 2


def test_copying_copies():
    moved, copy = timing._copying(2**10)
    copy()
    assert moved == 2 * 2**10 * timing.usable_cores()


@pytest.mark.parametrize("name", ["forward_times.csv", "claim_times.csv", "engine_times.csv"])
def test_stored_times_name_the_microarchitecture_of_their_machine(name):
    [device] = {row["device"] for row in csv.DictReader(data.path(name).open()) if row["date"] < "2026-11-26"}
    assert device == "AMD EPYC (Zen 4; avx2, avx512f, avx512_bf16)"


@pytest.mark.parametrize("name", ["forward_times.csv", "claim_times.csv"])
def test_a_row_is_added_to_stored_times_as_they_are(name, tmp_path):
    before = data.path(name).read_bytes()
    (tmp_path / name).write_bytes(before)
    append_row(tmp_path / name, Timing("net"))
    after = (tmp_path / name).read_bytes()
    assert after.startswith(before) and after[len(before) :].startswith(b"net,,") and after.endswith(b"\r\n")


def test_batches_bring_little_on_two_cores_as_notebook_08_says():
    rows = pd.read_csv(data.path("batch_times.csv"))
    assert rows["device"].nunique() == 1 and {*rows["threads"]} == {2}
    assert {len(samples.split(";")) for samples in rows["samples_ms"]} == {timing.ENOUGH_FOR_PERCENTILES}
    rates = rows.pivot(index="engine", columns="batch_size", values="images_per_s")
    assert list(rates.columns) == [1, 2, 4, 8, 16, 32, 64] and rates.notna().all(axis=None)
    of_inference = rates.loc[["onnxruntime", "openvino"]]
    assert (of_inference.max(axis=1) < 1.25 * of_inference.min(axis=1)).all()
    of_tensorflow = rates.loc[["unfrozen", "tf", "session"]]
    gains = of_tensorflow.div(of_tensorflow[1], axis=0)
    assert gains[8].between(1.2, 1.45).all() and (gains[32] - 1 < (gains[8] - 1) / 2).all()


def test_rows_are_appended_one_at_a_time(network, quick_matmul, tmp_path):
    path = tmp_path / "times.csv"
    for batch_size in (1, 2):
        time_forward(network, batch_size, num_batches=2, csv_path=path)
        with open(path) as file:
            rows = list(csv.DictReader(file))
        assert rows[-1]["batch_size"] == str(batch_size)
    assert len(rows) == 2 and len(rows[0]["samples_ms"].split(";")) == 2


def test_what_does_not_fit_in_memory_becomes_a_row_and_the_next_one_runs(network, quick_matmul, tmp_path):
    path = tmp_path / "times.csv"
    for batch_size in (10**9, 1):
        time_forward(network, batch_size, num_batches=1, csv_path=path)
    with open(path) as file:
        too_large, fits = csv.DictReader(file)
    assert "out of memory: one layer alone needs" in too_large["error"] and too_large["median_ms"] == ""
    assert fits["error"] == "" and float(fits["median_ms"]) > 0


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError(None, None, "OOM\nlong"), MemoryError("no room")])
def test_an_out_of_memory_of_the_device_is_a_record(network, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(timing, "_measure", fail)
    assert time_forward(network, 4).error.startswith("out of memory: ")


def test_a_csv_of_other_columns_is_refused_and_left_alone(network, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "_measure", None)  # refused before anything is timed
    path = tmp_path / "other.csv"
    path.write_text("network,seconds\nvgg,1\n")
    with pytest.raises(ValueError, match="other.csv.* has other columns than a Timing"):
        time_forward(network, csv_path=path)
    assert path.read_text() == "network,seconds\nvgg,1\n"
    with pytest.raises(ValueError, match="csv_path: cannot write .*No such file"):
        time_forward(network, csv_path=tmp_path / "nowhere" / "times.csv")
    with pytest.raises(ValueError, match="csv_path: cannot write .*: not a regular file"):
        time_forward(network, csv_path=tmp_path)
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".lock"] == ["other.csv"]


def test_samples_survive_the_csv(tmp_path):
    append_row(tmp_path / "times.csv", Timing("net", samples_ms=(1.5, 2.25)))
    assert (tmp_path / "times.csv").read_text().splitlines()[1].endswith("1.500;2.250")


def test_bad_counts_are_named(network):
    with pytest.raises(ValueError, match="num_batches must be a whole number from 1 to 1000000, got 0"):
        time_forward(network, num_batches=0)
    with pytest.raises(ValueError, match="batch_size must be a positive whole number, got 0"):
        time_forward(network, batch_size=0)
    with pytest.raises(ValueError, match="num_steps_burn_in must be a whole number from 0 to 1000000, got -1"):
        time_forward(network, num_steps_burn_in=-1)
    with pytest.raises(ValueError, match="num_batches must be a whole number from 1 to 1000000, got 0"):
        time_tensorflow_run(None, None, "Forward", num_batches=0)
    with pytest.raises(ValueError, match="built with an image_size"):
        time_forward(build(BLOCKS, image_size=None), 1)


def test_time_tensorflow_run_prints_and_returns_what_the_source_text_prints(capsys):
    class Session:
        runs = 0

        def run(self, target):
            self.runs += 1

    session, target = Session(), tf.TensorSpec([32, 1, 1, 1000])
    measured = time_tensorflow_run(session, target, "Forward", num_batches=12, num_steps_burn_in=3, clock=Clock())
    assert session.runs == 15
    durations = [2 * k + 1 for k in range(15)]
    assert measured.samples_ms == tuple(1000.0 * d for d in durations[3:])
    assert measured.first_call_ms == 1000 and measured.batch_size == 32
    assert measured.images_per_s == pytest.approx(32 / np.median(durations[3:]))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        "step 0, duration = 7.000",
        "step 10, duration = 27.000",
        "Forward across 12 steps, 18.000 +/- 6.904 sec / batch",
    ]


def test_time_tensorflow_run_on_a_real_session(capsys):
    with tf.Graph().as_default(), slim.arg_scope(resnet_arg_scope(is_training=False)):
        logits, _ = resnet_v2(tf.random.uniform([2, 16, 16, 3]), [b._replace(unit_fn=_bottleneck()) for b in BLOCKS], 3)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            measured = time_tensorflow_run(session, logits, "Forward", num_batches=2, num_steps_burn_in=1)
    assert measured.engine == "session" and measured.median_ms > 0
    assert "Forward across 2 steps" in capsys.readouterr().out


def _bottleneck():
    from resnet_lib.resnet_v2 import bottleneck

    return bottleneck


def test_matmul_rate_is_a_plausible_number():
    assert 1e-4 < timing.matmul_tflops(size=256, repeats=2) < 1e4
