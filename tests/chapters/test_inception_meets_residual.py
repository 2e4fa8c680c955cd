"""The numbers that notebook 10 speaks of: of modules, stored signals and published errors, and of its two experiments."""

import numpy as np
import pandas as pd
import pytest

from experiments import inception_pair, inception_scales
from resnet_lib import data
from resnet_lib.graph_cost import graph_cost
from resnet_lib.inception import (
    INCEPTION_A,
    RESNET_V2_A,
    inception_arg_scope,
    inception_module,
    residual_module,
)
from resnet_lib.tf_slim_compat import quick_building, slim, tf


def graph_of(network, images, *arguments, **options):
    with tf.Graph().as_default() as graph, quick_building(), slim.arg_scope(inception_arg_scope(is_training=False)):
        network(tf.compat.v1.placeholder(tf.float32, [None, *images]), *arguments, **options)
    return graph


# The modules


def test_a_residual_module_costs_about_as_much_as_a_bottleneck_of_a_quarter():
    pure = graph_cost(graph_of(inception_module, (35, 35, 384), INCEPTION_A))
    residual = graph_cost(graph_of(residual_module, (35, 35, 320), RESNET_V2_A))
    assert (pure.macs, residual.macs) == (387_609_600, 149_900_800)
    assert 35**2 * (320 * 80 + 9 * 80 * 80 + 80 * 320) == 133_280_000


# The growth of fresh signals

GROWTH = pd.read_csv(data.path("inception_growth.csv"))
SQUARES = GROWTH.pivot_table("mean_square", ["statistics", "scale", "seed"], "module")


def predicted(scale, residual_square, modules=10):
    """Root mean square after the modules over that before, when residuals are normal noise and a ReLU follows each sum."""
    noise = np.random.default_rng(0).standard_normal((modules + 1, 100_000))
    x = np.maximum(noise[0], 0)
    first = np.mean(x**2)
    for z in noise[1:]:
        x = np.maximum(x + scale * np.sqrt(residual_square(np.mean(x**2))) * z, 0)
    return np.sqrt(np.mean(x**2) / first)


def test_signals_grow_as_random_residuals_behind_a_relu_should():
    factor = np.sqrt(SQUARES[10] / SQUARES[0])
    assert len(factor) == 50
    for (statistics, scale), of_seeds in factor.groupby(["statistics", "scale"]):
        guess = predicted(scale, {"batch": lambda q: 1, "initial": lambda q: 2 * q}[statistics])
        if statistics == "batch":
            assert abs(guess / of_seeds.mean() - 1) < 0.04
            assert (
                of_seeds.median() < np.sqrt(1 + 20 * scale**2) < 1.12 * of_seeds.median()
            )  # without the ReLU: a little high
        else:
            assert of_seeds.min() < guess < of_seeds.max()


def test_scaled_stacks_begin_near_the_identity():
    tenth = GROWTH[(GROWTH["module"] == 10) & (GROWTH["statistics"] == "batch")]
    kept = tenth.groupby("scale")["correlation"].mean()
    assert kept[0.17] > 0.7 and kept[1.0] < 0.2
    for scale, correlation in kept.items():
        assert abs(correlation - np.sqrt(0.34 / (0.34 + 10 * scale**2))) < 0.04


def test_unscaled_modules_grow_as_the_units_of_a_resnet_that_learns():
    stored = pd.read_csv(data.path("signals.csv")).query("family == 'residual' and state == 'fresh'")
    units = stored.pivot_table("feature_std", "seed", "unit")
    of_unscaled = GROWTH.query("statistics == 'batch' and scale == 1").pivot_table("std", "seed", "module")
    for grown in (units[9] / units[0], of_unscaled[9] / of_unscaled[0]):
        assert 3 < grown.min() and grown.max() < 4


# Published errors

ACCURACY = data.published("imagenet_accuracy")


def published(source, protocol, model, column="top5"):
    starts = ACCURACY["protocol"].str.startswith(protocol) & ACCURACY["model"].str.startswith(model)
    return float(ACCURACY[starts & ACCURACY["source"].str.contains(source)][column].item())


def test_the_records_belong_to_ensembles_and_ten_crops_close_no_gap():
    resnet = [
        published("KaimingHe", "1-crop", "ResNet-152"),
        published("1512.03385", "10-crop", "ResNet-152"),
        published("1512.03385", "single model", "ResNet-152"),
        published("1512.03385", "ensemble", "ResNet ensemble (ILSVRC'15, 6 models)"),
    ]
    hybrid = [published("1602.07261", protocol, "Inception-ResNet-v2") for protocol in ("1-crop", "10/12", "144")]
    hybrid.append(published("1602.07261", "ensemble top-5", "Inception-v4 + 3x Inception-ResNet-v2"))
    assert (resnet[3], hybrid[3]) == (3.57, 3.08)
    hybrid[0] += 0.15  # of all 50,000 images: the paper, section 5
    relative = [round(100 * (a - b) / a) for a, b in zip(resnet, hybrid, strict=True)]
    assert relative == [25, 28, 18, 14]
    assert resnet[0] - resnet[2] > 4 * (resnet[3] - hybrid[3])  # more crops against the step between the records


def test_shortcuts_change_the_papers_errors_by_a_tenth_of_a_point():
    for pure, residual in (("Inception-v3", "Inception-ResNet-v1"), ("Inception-v4", "Inception-ResNet-v2")):
        for column in ("top1", "top5"):
            of_pair = [published("1602.07261", "1-crop", name, column) for name in (pure, residual)]
            assert abs(of_pair[0] - of_pair[1]) == pytest.approx(0.1)


def test_a_recipe_is_worth_more_than_the_three_points_between_resnet_and_inception():
    first, later = (100 - published("torchvision", "", f"resnet101 V{n}w", "top1") for n in (1, 2))
    slim_readme = [
        published("research/slim/README", "", name, "top1") for name in ("inception_v4", "inception_resnet_v2")
    ]
    of_resnet = published("research/slim/README", "", "resnet_v2_101", "top1")
    assert first - later == pytest.approx(4.5, abs=0.1)
    assert [round(top1 - of_resnet, 1) for top1 in slim_readme] == [3.2, 3.4]


def test_a_row_of_the_paper_was_copied_from_another():
    row = [published("1602.07261", "10/12", "ResNet-151", column) for column in ("top1", "top5")]
    assert row == [published("1602.07261", "1-crop", "BN-Inception", column) for column in ("top1", "top5")]


# The pair

PAIR = pd.read_csv(data.path("inception_pair.csv"))


def test_five_modules_are_faster_with_shortcuts_and_not_better_and_fourteen_are_better():
    runs = PAIR.groupby(["modules", "shortcut"])["seed"].nunique()
    assert runs.to_dict() == {(n, name): len(inception_pair.SEEDS[n]) for n in (5, 14) for name in ("with", "without")}
    median = PAIR.groupby(["modules", "epoch", "shortcut"])[["train_error", "test_error"]].median().unstack("shortcut")
    without_less_with = median.xs("without", axis=1, level=1) - median.xs("with", axis=1, level=1)
    for modules in (5, 14):
        assert (without_less_with["train_error"][modules][[1, 2]] > 0).all()
    assert abs(without_less_with["test_error"][5, 8]) < 0.015
    of_seeds = (
        PAIR[PAIR["epoch"] == 8].set_index(["modules", "seed", "shortcut"])[["train_error", "test_error"]].unstack()
    )
    for column in ("train_error", "test_error"):
        gaps = of_seeds[column, "without"] - of_seeds[column, "with"]
        assert gaps[14].min() > 0.15
        assert gaps[5].min() < 0 < gaps[5].max()
    assert PAIR["error"].isna().all()


# The heat map

SCALED = pd.read_csv(data.path("inception_scales.csv"))
SCALED["fails"] = (SCALED["zeros"] == 1) | SCALED["error"].notna() | (SCALED["train_loss"] > 2.2)
HIGH = SCALED[SCALED["rate"] == 0.5].groupby(["width", "scale"])


def test_width_silences_features_and_a_scale_rescues_the_narrow_sums_alone():
    zeros = HIGH["zeros"].median().unstack("scale")
    assert (zeros.diff().iloc[1:] > 0).all(axis=None) and (zeros.loc[[64, 256]].diff(axis=1).iloc[:, 1:] > 0).all(
        axis=None
    )
    assert zeros.loc[1088, 1.0] > 0.99
    errors = HIGH["train_error"].median().unstack("scale")
    assert (errors.loc[[64, 256], 1.0] > 0.5).all() and (errors.loc[[64, 256], [0.1, 0.3]] < 0.5).all(axis=None)
    assert (errors.loc[1088] > 2 / 3).all()


def test_no_prediction_on_the_heat_map_survives_by_the_letter():
    fails = HIGH["fails"].sum()
    assert (HIGH["seed"].count() == len(inception_scales.SEEDS[0.5])).all()
    assert SCALED["error"].isna().all()
    assert fails[1088, 1.0] < 2  # of three: the first, by the letter
    assert (fails[1088, 0.1], fails[1088, 0.3], fails[1088, 1.0]) == (2, 1, 0)  # the third
    silent = SCALED[SCALED["fails"] & (SCALED["rate"] == 0.5)]["zeros"]
    assert len(silent) == 3 and (silent == 1).sum() == 1 and silent.min() > 0.998  # the fourth: most are not dead
    assert fails[64, 1.0] == fails[1088, 1.0] == 0  # the second: as often


def test_at_a_usual_rate_only_the_widest_network_without_a_scale_fails():
    usual = SCALED[SCALED["rate"] == 0.05].set_index(["width", "scale"])
    assert [*usual.index[usual["fails"]]] == [(1088, 1.0)]
    assert usual.loc[(1088, 1.0), "zeros"] > 0.9 and (usual.loc[1088].loc[[0.1, 0.3], "train_error"] < 0.2).all()
    assert usual.loc[64]["train_error"].idxmin() == 1.0
