"""The programs that made data/: what is stored can be made again, and what was measured is kept and not measured again."""

import argparse
import ast
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import experiments
from experiments import (
    atlas,
    depth,
    designs,
    highway_depth,
    highway_gradient,
    inception_growth,
    inception_pair,
    inception_scales,
    jobs,
    leaky,
    lesion_costs,
    lesions,
    path_spectrum,
    reach,
    separation,
    short_paths,
    shortcut_strength,
    signals,
    splits,
)
from resnet_lib import Architecture, Block, data
from resnet_lib.records import Records, printed
from resnet_lib.training import History, Recipe, train

FOLDER = Path(experiments.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def same(found, stored, tolerance):
    for column, text in stored.items():
        try:
            assert float(printed(found.get(column))) == pytest.approx(float(text), **tolerance)
        except ValueError:
            assert printed(found.get(column)) == text


PROGRAMS = {  # module -> (what makes the rows of one job, the columns of its key, the number of jobs)
    atlas: ("measured", atlas.KEY, 45),
    depth: ("fit", depth.KEY, 315),
    designs: ("run", ["design", "seed"], 40),
    highway_depth: ("measured", highway_depth.KEY, 30),
    highway_gradient: ("measured", highway_gradient.KEY, 30),
    inception_growth: ("measure", ["statistics", "seed"], 10),
    inception_pair: ("run", inception_pair.KEY, 16),
    inception_scales: ("run", inception_scales.KEY, 36),
    leaky: ("run", leaky.KEY, 45),
    lesion_costs: ("measured", lesion_costs.KEY, 10),
    lesions: ("measured", lesions.KEY, 20),
    path_spectrum: ("measured", path_spectrum.KEY, 15),
    reach: ("measured", reach.KEY, 30),
    separation: ("measured", separation.KEY, 30),
    short_paths: ("run", short_paths.KEY, 35),
    shortcut_strength: ("measured", shortcut_strength.KEY, 35),
    signals: ("measure", signals.KEY, 65),
    splits: ("run", splits.KEY, 90),
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_is_stored_is_whole_and_is_not_measured_again(program, tmp_path, monkeypatch):
    function, key, number = PROGRAMS[program]
    name = f"{program.__name__.split('.')[1]}.csv"
    path = tmp_path / name
    path.write_bytes(data.path(name).read_bytes())
    done = {tuple(row[column] for column in key) for row in Records(path, program.COLUMNS).rows()}
    assert len(done) == number
    monkeypatch.setattr(program, function, None)
    program.main(path)
    assert path.read_bytes() == data.path(name).read_bytes()


def test_the_row_of_a_fit_that_is_missing_is_made_and_no_other(tmp_path, monkeypatch):
    fitted = []
    monkeypatch.setattr(depth, "fit", lambda *job: fitted.append(job) or (0.25, []))
    path = tmp_path / "depth.csv"
    lines = data.path("depth.csv").read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:-1]) + lines[-1][:10])  # one is missing, one is cut short
    depth.main(path)
    rows = [f"{line},{0.25}\n" for line in (lines[5].rpartition(",")[0], lines[-1].rpartition(",")[0])]
    assert path.read_text() == "".join(lines[:5] + lines[6:-1] + rows)
    assert fitted == [("radial", 1, (384,), 0.01, 0), ("sawtooth", 1, (8, 8, 8), 0.03, 4)]


def test_a_network_is_added_with_all_its_rows(tmp_path, monkeypatch):
    """Of lesions, signals and growths several rows belong together: the next call makes what a lost one lacks."""

    def measured(family, layers, seed):
        if (family, seed) == ("residual", 1):
            raise KeyboardInterrupt
        known = {"family": family, "layers": layers, "seed": seed}
        return [known | {"lesion": "remove", "number": 1, "draw": draw} for draw in range(3)]

    monkeypatch.setattr(lesions, "measured", measured)
    path = tmp_path / "lesions.csv"
    with pytest.raises(KeyboardInterrupt):
        lesions.main(path)
    rows = Records(path, lesions.COLUMNS).rows()
    assert len(rows) == 3 * len(lesions.NETWORKS) and [row["draw"] for row in rows[:4]] == ["0", "1", "2", "0"]


def test_designs_are_made_again_as_they_are_stored(monkeypatch):
    """One run of an epoch: its costs are the stored ones, and its columns are in the file's order."""
    monkeypatch.setattr(designs, "RECIPE", Recipe(epochs=1))
    row = designs.run("wide", 0)
    assert list(row) == list(designs.COLUMNS) and row["train_losses"].count(";") == 0
    stored = pd.read_csv(data.path("designs.csv")).query("design == 'wide' and seed == 0").iloc[0]
    for column in ("units", "base_depth", "shortcut", "root", "layers", "params", "macs", "activations", "seed"):
        assert str(row[column]) == str(stored[column])


def test_a_design_that_diverges_in_its_first_epoch_is_a_row_with_the_reason(monkeypatch):
    monkeypatch.setattr(designs, "train", lambda *args, **options: History([], "diverged: the loss is nan at epoch 1"))
    row = designs.run("wide", 0)
    assert list(row) == list(designs.COLUMNS) and row["error"].startswith("diverged")
    assert [row[name] for name in ("train_loss", "train_error", "test_error", "train_losses")] == [None, None, None, ""]


def test_growths_are_made_again_as_they_are_stored(monkeypatch):
    monkeypatch.setattr(inception_growth, "SCALES", (0.1,))
    found = inception_growth.measure(0, "initial", inception_growth.photographs())
    stored = Records(data.path("inception_growth.csv"), inception_growth.COLUMNS).rows()[:11]
    assert len(found) == 11 and found[0].keys() == {*inception_growth.COLUMNS}
    for row, expected in zip(found, stored, strict=True):
        same(row, expected, {"rel": 1e-3})


class Unmeasured:
    """Takes the place of a lesioned network where only the choice of lesions matters."""

    def __init__(self, architecture, values):
        self.architecture = architecture
        self.units = [(block.scope, i) for block in architecture.blocks for i in range(1, len(block.args) + 1)]

    def reorder(self, order):
        assert sorted(order.values()) == sorted(order)

    def error(self, images, labels, removed=()):
        return 0.5

    def path_gradient(self, images, labels, units=None):
        assert len(images) == len(labels) == 50
        return np.ones(4)


def test_lesions_are_drawn_as_they_were(monkeypatch):
    """Every network of the study gets its stored lesions: the same units, in the same order, with the same things measured."""
    monkeypatch.setattr(lesions, "train", lambda *args, **kwargs: argparse.Namespace(weights={}))
    monkeypatch.setattr(lesions, "Lesioned", Unmeasured)
    networks = [(family, layers, seed) for seed in lesions.SEEDS for family, layers in lesions.NETWORKS]
    found = [row for network in networks for row in lesions.measured(*network)]
    stored = Records(data.path("lesions.csv"), lesions.COLUMNS).rows()
    for column in ("family", "layers", "seed", "lesion", "number", "draw", "units"):
        assert [printed(row[column]) for row in found] == [row[column] for row in stored]
    for column in ("train_error", "test_error", "gradient_norm"):
        assert [row.get(column) is None for row in found] == [row[column] == "" for row in stored]
    assert {row.get("gradient_norm") for row in found} == {None, 2.0}


def test_a_unit_keeps_the_shape_where_neither_size_nor_depth_changes():
    blocks = [Block("b", "basic_v2", [(4, 1), (4, 2), (4, 1)]), Block("c", "basic_v2", [(8, 1), (8, 1)])]
    assert lesions.keeping(Architecture("net", blocks)) == [0, 2, 4]


def test_a_lesioned_network_is_the_trained_one(monkeypatch):
    monkeypatch.setattr(lesions, "RECIPE", Recipe(epochs=2, batch_size=100))
    monkeypatch.setattr(lesions, "REMOVED", {8: (1,)})
    monkeypatch.setattr(lesions, "SWAPS", {8: ()})
    monkeypatch.setattr(lesions, "DRAWS", 1)
    monkeypatch.setattr(lesions, "PATH_DRAWS", 1)
    trained = []
    monkeypatch.setattr(lesions, "train", lambda *args, **kwargs: trained.append(train(*args, **kwargs)) or trained[0])
    rows = lesions.measured("residual", 8, 0)
    assert [row["lesion"] for row in rows] == [
        "none",
        "remove",
        "shortcut",
        "shortcut",
        "remove",
        "gradient",
        *["path"] * 4,
    ]
    last = trained[0].epochs[-1]
    assert (rows[0]["train_error"], rows[0]["test_error"]) == pytest.approx((last.train_error, last.test_error))
    assert rows[1]["test_error"] != rows[0]["test_error"] and all(row["gradient_norm"] > 0 for row in rows[-4:])


def test_weights_by_name_are_those_of_the_file(tmp_path):
    net = signals.FAMILIES["v2"](8)
    digits = data.digits(200)
    history = train(net, digits, Recipe(epochs=1), seed=3, checkpoint=tmp_path / "net.npz", threads=1)
    history.network.save(tmp_path / "saved.npz")
    images, labels = digits.test_images[:5], digits.test_labels[:5]
    given = [history.weights, tmp_path / "net.npz", str(tmp_path / "saved.npz")]
    first, *others = (signals.signals(net, images, labels, weights=weights)[0] for weights in given)
    fresh, _, _ = signals.signals(net, images, labels)
    for x in others:
        assert all(np.array_equal(one, other) for one, other in zip(first, x, strict=True))
    assert not np.array_equal(first[-1], fresh[-1])


def test_a_command_line_keeps_its_rows_in_data_unless_it_is_told_where():
    parser = jobs.command_line("Nothing.", "some.csv")
    assert vars(parser.parse_args([])) == {"file": data.DATA / "some.csv", "jobs": 1}
    assert vars(parser.parse_args(["x.csv", "--jobs", "2"])) == {"file": Path("x.csv"), "jobs": 2}


@pytest.mark.parametrize("module", MODULES)
def test_every_program_is_a_module_that_says_how_to_run_it(module):
    text = (FOLDER / f"{module}.py").read_text()
    doc = ast.get_docstring(ast.parse(text))
    assert "sys.path" not in text
    if module == "pjrt_forward":
        assert "python pjrt_forward.py" in doc and not re.search(
            r"^(from|import) (\.|resnet_lib|experiments)", text, re.M
        )
    elif "__main__" in text:
        assert f"python -m experiments.{module}" in doc and module in experiments.__doc__
