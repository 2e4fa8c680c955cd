"""What chapter 01 says of its measurements is so in the outputs that are committed with it."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from resnet_lib import data

ROOT = Path(__file__).resolve().parents[2]
NUMBER = r"-?\d[\d.]*(?:e[+-]?\d+)?"


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(ROOT / "notebooks" / "01_highway_and_residual_formulas.ipynb", as_version=4).cells


def lines(cells, source):
    """What the one cell that holds this source printed, or shows as text, line by line."""
    (cell,) = (cell for cell in cells if cell.cell_type == "code" and source in cell.source)
    text = "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)
    return text.splitlines()


def numbers(line):
    return [float(number) for number in re.findall(NUMBER, line)]


def rows(cells, source):
    """The number with which a row begins -> its other numbers."""
    found = [line.split() for line in lines(cells, source) if re.match(r"\d", line)]
    return {words[0]: numbers(" ".join(words[1:])) for words in found}


def test_the_gate_bias_predicts_what_arrives(cells):
    table = rows(cells, "carried = 1 / (1 + np.exp(bias))")
    assert set(table) == {"10", "30", "100", "300", "1000"}
    for at_6, measured_6, at_2, measured_2 in table.values():
        assert measured_6 == pytest.approx(at_6, rel=0.2)
        assert measured_2 >= at_2 or measured_2 == 0
    assert table["300"][3] > 10 * table["300"][2] and table["1000"][3] == 0


def test_the_rule_makes_it_independent_of_depth(cells):
    table = rows(cells, "def gates_in_all")
    assert {depth: row[1] for depth, row in table.items()} == pytest.approx(dict.fromkeys(table, 0.31), abs=0.035)
    assert all(row[2] == pytest.approx(1.2, abs=0.06) for row in table.values()) and len(table) == 5


def test_batch_norm_explodes_without_a_skip_and_not_with_one(cells):
    table = rows(cells, "def gradients(unit")
    assert set(table) == {"0.5", "1.0", "2.0"}
    assert table["0.5"][0] < 1e-20 and 0.05 < table["1.0"][0] < 5 and table["2.0"][0] > 1e20
    for _, normalized, v1, v2 in table.values():
        assert 3e7 < normalized < 5e8 and 10 <= v1 <= 200 and 5 <= v2 <= 200
    assert len({row[2] for row in table.values()}) == 1  # V1: the weights do not matter


def test_sums_grow_with_the_root_of_the_depth_or_with_the_depth(cells):
    own, shared = (numbers(line) for line in lines(cells, "def size_after")[-2:])
    assert own[-1] == pytest.approx(10**0.5, rel=0.2) and shared[-1] == pytest.approx(10, rel=0.1)


def test_the_worked_answers(cells):
    assert lines(cells, "with the right angle") != []
    carried, with_angle, measured = (float(x) for x in re.findall(r"\d\.\de-\d+", lines(cells, "with the right")[0]))
    assert measured > 10 * carried and measured == pytest.approx(with_angle, rel=0.2)
    both, first_only, none = (numbers(line)[-1] for line in lines(cells, "without_second = "))
    assert first_only < 2 * both and none > 1e6
    seen = {line.split()[0]: numbers(line)[0] for line in lines(cells, "def seen(kind")}
    assert seen["highway"] == 50 and seen["plain"] <= 3 < seen["residual"] < 20


def test_the_rules_bias_mends_110_highway_layers(cells):
    """What `experiments.highway_depth` predicted first."""
    rows = pd.read_csv(data.path("highway_depth.csv")).query("network == 'convolutional' and epoch == 15")
    errors = rows.pivot(index="gate_bias", columns="seed", values="train_error")
    assert list(errors.index) == [-4.654, -3.0] and errors.shape == (2, 5)
    assert errors.loc[-4.654].max() <= 0.01 and (errors.loc[-3.0] > 0.5).sum() >= 2
    shown = [numbers(line)[1:] for line in lines(cells, 'columns="seed", values="train_error"')[2:]]
    assert np.allclose(shown, 100 * errors.sort_index(ascending=False), atol=0.051)


def test_900_highway_layers_train_and_bring_nothing(cells):
    rows = pd.read_csv(data.path("highway_depth.csv")).query("network != 'convolutional'")
    medians = rows.groupby(["network", "epoch"])["train_error"].median().unstack()
    stack, frozen = medians.loc["stack"], medians.loc["frozen stack"]
    assert stack[20] < 0.2 and (stack > medians.loc["softmax regression"]).all()
    assert frozen[5] < stack[5] and stack[20] < frozen[20] < stack[20] + 0.001
    assert medians.loc["ten layers"][20] < medians.loc["softmax regression"][20]
    shown = [numbers(line) for line in lines(cells, "medians[[1, 5, 10, 20]]")[2:]]
    assert np.allclose(shown, 100 * medians[[1, 5, 10, 20]], atol=0.0051)


def test_gates_learn_to_tell_digits_apart(cells):
    *both, last = lines(cells, "def openness_by_digit")
    fresh, trained = (numbers(line)[-1] for line in both)
    (error,) = numbers(last)
    assert error < 20 and trained > 2 * fresh  # percent


def test_with_the_rule_the_gradient_stays_and_three_of_ten_seeds_explode_at_minus_3(cells):
    """Of what `experiments.highway_gradient` predicted 1, 2 and 4 hold, and 3 is refuted."""
    rows = pd.read_csv(data.path("highway_gradient.csv"))
    growth = rows.set_index(["dataset", "layers", "gate_bias"])["gradient_growth"].sort_index()
    for dataset in ("digits", "fashion_14"):
        assert len(growth[dataset, 110, -4.654]) == 5 and growth[dataset, 110, -4.654].between(0.8, 1.25).all()
    assert growth["fashion_14", 110, -3.0].min() > 1e6 and growth["digits", 56, -3.0].max() < 1
    seeds = rows.dropna(subset="train_error").set_index("seed").sort_index()
    explodes, fails = seeds["gradient_growth"] > 100, seeds["train_error"] > 0.5
    assert len(seeds) == 10 and (seeds["train_error"] < 0.1).sum() == 3
    assert ((explodes & fails).sum(), (explodes & ~fails).sum(), (~explodes & fails).sum()) == (3, 0, 4)
    earlier = pd.read_csv(data.path("highway_depth.csv")).query("gate_bias == -3 and epoch == 15").set_index("seed")
    assert list(earlier["train_error"].sort_index() > 0.5) == list(fails[:5])
    shown = [line.split()[-1] for line in lines(cells, "both = growth.dropna") if line.endswith("%")]
    assert len(shown) == 10 and shown.count("0.1%") == 3
