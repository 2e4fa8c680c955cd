"""A sweep keeps every finished run, whatever happens to it: failures, kills, other writers, a lost worker."""

import itertools
import os
import signal
import time
from dataclasses import asdict, replace

import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
from joblib.externals.loky.process_executor import TerminatedWorkerError

from resnet_lib import ARCHITECTURES, cost, data
from resnet_lib import sweep as sweep_module
from resnet_lib.__main__ import RECIPE, main
from resnet_lib.network import network_function
from resnet_lib.records import Records
from resnet_lib.sweep import COLUMNS, FAMILIES, KEY, results, run, sweep
from resnet_lib.tf_slim_compat import tf
from resnet_lib.training import Recipe
from resnet_lib.units import ORDERINGS, SHORTCUTS

QUICK = Recipe(epochs=1, batch_size=500)
GRID = {"families": ["plain", "residual"], "layers": [8, 14], "seeds": [0, 1, 2, 3, 4]}  # 20 runs


def instant(family, layers, seed, recipe, dataset="digits", threads=1, checkpoint=None):
    """A run without the training: its row, after a moment."""
    time.sleep(0.01)
    row = {"family": family, "layers": layers, "seed": seed, "dataset": dataset, **vars(recipe)}
    return {column: row.get(column, "" if column in ("error", "train_errors") else 0.5) for column in COLUMNS}


def assert_whole(path):
    table = pd.read_csv(path)
    keys = set(zip(table.family, table.layers, table.seed, strict=True))
    assert len(table) == len(keys) == 20 and list(table.columns) == COLUMNS
    assert path.read_text().endswith("\n") and (table.train_error == 0.5).all()


def test_a_real_run_gives_a_row_and_a_second_call_runs_nothing(tmp_path, monkeypatch):
    path = tmp_path / "sweep.csv"
    table = sweep(path, families=["plain", "highway"], layers=[8], seeds=[0], recipe=QUICK)
    assert list(table.family) == ["plain", "highway"] and table.error.isna().all()
    assert (table.learning_rate == QUICK.learning_rate).all() and (table.epochs == 1).all()
    assert table.train_error.between(0, 1).all() and (table.seconds > 0).all()
    assert table.train_errors.astype(float).tolist() == pytest.approx(table.train_error.tolist(), abs=1e-4)
    monkeypatch.setattr(sweep_module, "run", None)
    pd.testing.assert_frame_equal(sweep(path, ["plain", "highway"], [8], [0], QUICK), table)


def test_only_what_is_missing_is_run(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(sweep_module, "run", lambda *args: ran.append(args[:3]) or instant(*args))
    sweep(tmp_path / "s.csv", ["plain"], [8, 14], [0, 1], QUICK)
    sweep(tmp_path / "s.csv", ["plain", "residual"], [8, 14], [1, 2], QUICK)
    assert len(ran) == len(set(ran)) == 4 + 6
    sweep(tmp_path / "s.csv", ["plain"], [8], [0], replace(QUICK, learning_rate=0.3))  # another recipe is another run
    assert len(ran) == 11 and len(results(tmp_path / "s.csv")) == 11
    sweep(tmp_path / "s.csv", ["plain"], [8], [0], replace(QUICK, augment=2))
    assert len(ran) == 12 and list(results(tmp_path / "s.csv").augment) == 11 * [0] + [2]


def test_the_command_takes_every_field_of_the_recipe_and_each_makes_the_run(tmp_path, monkeypatch, capsys):
    fields = Recipe.__dataclass_fields__
    assert list(RECIPE) == list(fields) and set(fields) < set(KEY) < set(COLUMNS)
    monkeypatch.setattr(sweep_module, "run", instant)
    command = ["sweep", str(tmp_path / "s.csv"), "--families", "plain", "--layers", "8", "--epochs", "1"]
    main([*command, "--augment", "4"])
    main(command)
    assert list(results(tmp_path / "s.csv").augment) == [4, 0] and "train_error" in capsys.readouterr().out


def test_the_command_prints_means_over_the_runs_that_were_asked_for_and_no_others(tmp_path, monkeypatch, capsys):
    """The training error that a run makes up is its learning rate, over a hundred on another dataset."""

    def run_one(*args):
        row = instant(*args)
        return {**row, "train_error": row["learning_rate"] / (1 if row["dataset"] == "digits" else 100)}

    def printed(*options):
        main(["sweep", str(tmp_path / "s.csv"), "--families", "plain", "--layers", "8", *options])
        _, _, _, row = capsys.readouterr().out.splitlines()
        return row.split()[2:5]  # mean, standard deviation and number of the training errors

    monkeypatch.setattr(sweep_module, "run", run_one)
    rate = 0.1234567  # the file keeps six digits
    assert printed("--seeds", "0", "1", "--learning-rate", str(rate)) == ["0.123", "0.000", "2"]
    assert printed("--seeds", "0", "--learning-rate", str(rate), "--momentum", "0") == ["0.123", "NaN", "1"]
    assert printed("--seeds", "0", "1", "--learning-rate", "1") == ["1.000", "0.000", "2"]
    assert printed("--seeds", "1", "2", "--learning-rate", "1", "--dataset", "fashion_14") == ["0.010", "0.000", "2"]
    assert printed("--seeds", "2", "--learning-rate", "1") == ["1.000", "NaN", "1"]
    assert len(results(tmp_path / "s.csv")) == 8


def test_a_failed_run_is_a_row_with_its_error(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "broken", lambda layers: 1 / 0 if layers == 13 else FAMILIES["plain"](8))
    row = run("broken", 13, 0, QUICK)
    assert row["error"] == "ZeroDivisionError: division by zero" and row["train_error"] is None
    diverged = run("plain", 8, 0, replace(QUICK, learning_rate=1e30, epochs=2, batch_size=128))
    assert diverged["error"].startswith("diverged: the ") and diverged["learning_rate"] == 1e30
    monkeypatch.setattr(sweep_module, "run", lambda *args: diverged if args[2] == 1 else instant(*args))
    table = sweep(tmp_path / "s.csv", ["plain"], [8], [0, 2], QUICK)
    assert len(table) == 2 and table.error.isna().all()


def test_a_run_that_ended_in_an_exception_is_run_again_and_one_that_diverged_is_not(tmp_path, monkeypatch):
    path, ran, mended = tmp_path / "s.csv", [], set()
    errors = {1: "ConnectionError: no network, at all", 2: "diverged: the loss is nan at epoch 1", 3: "MemoryError: "}

    def run_one(family, layers, seed, recipe, dataset):
        ran.append(seed)
        error = None if seed in mended else errors.get(seed)
        return {**instant(family, layers, seed, recipe), **({"error": error, "test_error": None} if error else {})}

    monkeypatch.setattr(sweep_module, "run", run_one)
    for known, expected in (((), [0, 1, 2, 3]), ((), [1, 3]), ((1,), [1, 3]), ((3,), [3]), ((), [])):
        mended.update(known)
        ran.clear()
        table = sweep(path, "plain", 8, range(4), QUICK).set_index("seed")
        assert ran == expected and sorted(table.index) == [0, 1, 2, 3]
        assert {seed for seed in errors if pd.notna(table.error[seed])} == errors.keys() - mended
    assert (table.test_error.drop(2) == 0.5).all() and len(results(path)) == 4


def test_a_family_that_was_broken_is_trained_when_it_is_mended(tmp_path, monkeypatch):
    path = tmp_path / "s.csv"
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(sweep_module, "train", lambda *args: 1 / 0)
        table = sweep(path, ["plain", "v2"], 8, 0, QUICK)
    assert list(table.error) == 2 * ["ZeroDivisionError: division by zero"] and table.train_error.isna().all()
    table = sweep(path, "v2", 8, 0, QUICK)
    assert list(table.family) == ["plain", "v2"] and table.error.isna().tolist() == [False, True]
    assert table.train_error[1] > 0


@pytest.mark.parametrize(
    ("families", "layers", "seeds", "expected"),
    [
        ("plain", 8, 0, [("plain", 8, 0)]),
        (np.str_("v2"), np.int64(14), np.uint8(3), [("v2", 14, 3)]),
        (np.array(["plain"]), np.array([8]), np.arange(2), [("plain", 8, 0), ("plain", 8, 1)]),
        (pd.Series(["v2"]), pd.Series([8, 14]), np.array(1), [("v2", 8, 1), ("v2", 14, 1)]),
        ((name for name in ["plain", "v2"]), (n for n in [8]), (n for n in [5]), [("plain", 8, 5), ("v2", 8, 5)]),
        ({"plain": 1}, {8}, range(1), [("plain", 8, 0)]),
    ],
)
def test_a_grid_is_of_any_numbers_and_names_one_or_several(families, layers, seeds, expected, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(sweep_module, "run", lambda *args: ran.append(args[:3]) or instant(*args))
    sweep(tmp_path / "s.csv", families, layers, seeds, QUICK)
    assert ran == expected and {type(number) for one in ran for number in one[1:]} == {int}
    families, layers, seeds = (sorted({one[i] for one in expected}) for i in range(3))
    sweep(tmp_path / "s.csv", families, layers, seeds, QUICK)  # the same runs in plain Python
    assert ran == expected


def test_a_recipe_of_numpy_numbers_finds_its_rows(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(sweep_module, "run", lambda *args: ran.append(args[3]) or instant(*args))
    recipes = [
        replace(QUICK, learning_rate=rate, epochs=epochs, augment=augment, momentum=0.7, weight_decay=1 / 3)
        for rate, epochs, augment in ((np.float32(0.1), np.int64(2), np.uint8(4)), (0.1, 2, 4), (np.float64(0.1), 2, 4))
    ]
    for recipe in recipes:
        sweep(tmp_path / "s.csv", "plain", 8, 0, recipe)
    assert ran == recipes[:1] and set(recipes) == {recipes[0]}


def test_a_run_is_its_seeds_and_one_of_numpy_numbers_is_that_of_python_numbers():
    """Dropout's random numbers come from the seed of the graph too."""
    runs = [
        ("dropout", number(8), number(seed), Recipe(epochs=number(1), batch_size=number(500)))
        for number, seed in ((np.int64, 1), (int, 1), (int, 0))
    ]
    first, again, other = (run(*one) for one in runs)
    assert first["error"] is None and first["train_loss"] == again["train_loss"] != other["train_loss"]


def killed_at(step):
    """From here on the work of this process has numbered steps: a run, half of a file written, all of it, the file in its
    place. It is killed at the one of that number."""
    steps, fsync, put_in_place = itertools.count(1), os.fsync, os.replace

    def is_fatal():
        return next(steps) == step

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def write(file):
        if is_fatal():
            os.ftruncate(file, os.fstat(file).st_size - 20)
            die()
        if is_fatal():
            die()
        fsync(file)

    def replace_file(*files):
        put_in_place(*files)
        if is_fatal():
            die()

    def run_one(*args):
        if is_fatal():
            die()
        return instant(*args)

    os.fsync, os.replace, sweep_module.run = write, replace_file, run_one


def test_twenty_kills_lose_double_and_tear_nothing(tmp_path, monkeypatch):
    """A child that sweeps is killed at each step of its work, and once more, twenty times over; then one more sweep
    finishes the grid."""
    monkeypatch.setattr(sweep_module, "run", instant)
    path, seen = tmp_path / "s.csv", 0
    for i in range(20):
        child = os.fork()
        if not child:
            try:
                killed_at(1 + i % 10)
                sweep(path, recipe=QUICK, **GRID)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        rows = path.read_text().count("\n") - 1 if path.exists() else 0
        # The first three steps make sure that the file can be written; every fourth after them is a row in its place.
        assert rows == seen + max(0, (1 + i % 10) - 3) // 4
        seen = rows
    assert 0 < seen < 20
    sweep(path, recipe=QUICK, **GRID)
    assert_whole(path)


def test_two_writers_share_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "run", instant)
    path, children = tmp_path / "s.csv", []
    for _ in range(2):
        children.append(os.fork())
        if not children[-1]:
            try:
                sweep(path, recipe=QUICK, **GRID)
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    assert_whole(path)


def test_a_torn_last_line_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "run", instant)
    path = tmp_path / "s.csv"
    sweep(path, ["plain"], [8], [0, 1], QUICK)
    path.write_text(path.read_text()[:-30])
    assert len(results(path)) == 1
    assert sorted(sweep(path, ["plain"], [8], [0, 1], QUICK).seed) == [0, 1]
    path.write_text(path.read_text()[:20])  # not even the header is whole
    assert len(sweep(path, ["plain"], [8], [0, 1], QUICK)) == 2


@pytest.mark.parametrize("text", ["family,layers,seed\nplain,8,0\n", "my notes, without a line end"])
def test_a_file_of_another_version_is_refused_and_left_as_it_is(tmp_path, text):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="s.csv has other columns than this version writes, and is left as it is: "):
        sweep(path, ["plain"], [8], [0], QUICK)
    with pytest.raises(ValueError, match="has other columns"):
        results(path)
    assert path.read_text() == text


def test_bad_input_is_named_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "run", None)
    path = tmp_path / "s.csv"
    with pytest.raises(
        ValueError, match=r"family must be one of \['plain', 'highway', 'residual', .*'dropout'\], got 'dense'"
    ):
        sweep(path, ["plain", "dense"])
    with pytest.raises(ValueError, match=r"layers must be 6n \+ 2 .*got 21"):
        sweep(path, layers=[20, 21])
    with pytest.raises(ValueError, match=r"dataset must be one of \['digits', 'fashion_14', 'cifar10'\], got 'mnist'"):
        sweep(path, dataset="mnist")
    for grid, error, message in (
        ({"families": []}, ValueError, r"families must have one value or more, got \[\]"),
        ({"seeds": range(0)}, ValueError, r"seeds must have one value or more, got range\(0, 0\)"),
        ({"layers": (n for n in ())}, ValueError, "layers must have one value or more"),
        ({"families": [["plain"]]}, ValueError, r"family must be one of .*, got \['plain'\]"),
        ({"layers": "20"}, TypeError, "layers must be a positive whole number, got '20'"),
        ({"layers": [20.0]}, TypeError, "layers must be a positive whole number, got 20.0"),
        ({"seeds": [0, -1]}, ValueError, "seeds must be a whole number from 0 to .*, got -1"),
        ({"seeds": True}, TypeError, "seeds must be a whole number from 0 to .*, got True"),
        ({"recipe": {}}, TypeError, "recipe must be a Recipe or None, got {}"),
        ({"dataset": ["digits"]}, ValueError, "dataset must be one of .*, got "),
    ):
        with pytest.raises(error, match=message):
            sweep(path, **grid)
    with pytest.raises(OSError):
        sweep(tmp_path)  # a folder is no file
    assert not path.exists()


@pytest.mark.parametrize("layers", [8, 20])
def test_highway_networks_have_the_layers_and_widths_of_the_plain_ones_and_gates(layers):
    net = FAMILIES["highway"](layers)
    assert (net.layers, net.units, net.version) == (layers, FAMILIES["plain"](layers).units, 1)
    with tf.Graph().as_default() as graph:
        _, end_points = network_function(net)(tf.zeros([1, 8, 8, 1]))
        plain, shapes = {}, {v.name: v.shape for v in tf.compat.v1.trainable_variables()}
    gates = [name for name in shapes if "/gate" in name and name.endswith("weights:0")]
    assert len(gates) == layers - 2 - 2  # every layer but the two that change the shape
    assert sum("/gate" in op.name and op.type == "Sigmoid" for op in graph.get_operations()) == len(gates)
    assert any(name.endswith("gate1") for name in end_points)
    with tf.Graph().as_default():
        network_function(FAMILIES["plain"](layers))(tf.zeros([1, 8, 8, 1]))
        plain = {
            v.name.replace("plain", "highway").replace("basic_v1", "highway"): v.shape
            for v in tf.compat.v1.trainable_variables()
        }
    assert {name: shape for name, shape in shapes.items() if "/gate" not in name} == plain
    assert f"plain_cifar_{layers}" not in ARCHITECTURES or ARCHITECTURES[f"plain_cifar_{layers}"].layers == net.layers


def test_a_highway_unit_is_the_formula_and_a_closed_gate_carries_its_input():
    from resnet_lib.highway import highway_unit

    def unit(gate_bias):
        def network(x):
            return highway_unit(x, 4, 1, gate_bias=gate_bias, scope="unit")

        return tf.compat.v1.wrap_function(network, [tf.TensorSpec([None, 5, 5, 4])])

    x = tf.random.stateless_normal([2, 5, 5, 4], seed=[1, 2])
    np.testing.assert_allclose(unit(-60.0)(x), x, atol=1e-6)
    opened = unit(-1.0)
    values = {v.name.removeprefix("unit/").split(":")[0]: v for v in opened.graph.get_collection("variables")}
    assert set(values) == {
        f"{kind}{i}/{leaf}" for kind in ("conv", "gate") for i in (1, 2) for leaf in ("weights", "biases")
    }
    y = x
    for i in (1, 2):
        transformed = tf.nn.relu(tf.nn.conv2d(y, values[f"conv{i}/weights"], 1, "SAME") + values[f"conv{i}/biases"])
        gate = tf.sigmoid(tf.nn.conv2d(y, values[f"gate{i}/weights"], 1, "SAME") - 1.0)
        y = transformed * gate + y * (1 - gate)
    np.testing.assert_allclose(opened(x), y, rtol=1e-4, atol=1e-5)


def once_after_rows(monkeypatch, number, act):
    """`act` is called once, when so many rows are in the file."""
    append, count = Records.append, itertools.count(1)

    def counted(self, *rows):
        append(self, *rows)
        if rows and next(count) == number:
            act()

    monkeypatch.setattr(Records, "append", counted)


def test_local_processes_give_the_rows_of_one_process_and_the_loss_of_one_is_made_up_for(tmp_path, monkeypatch):
    path, killed = tmp_path / "s.csv", []

    def kill_one():
        workers = [p for p in psutil.Process().children(recursive=True) if "loky" in " ".join(p.cmdline())]
        worker = max(workers, key=lambda p: p.memory_info().rss)  # one that has loaded TensorFlow
        worker.kill()
        killed.append(len(results(path)))

    once_after_rows(monkeypatch, 1, kill_one)
    table = sweep(path, ["plain"], [8], [0, 1, 2], QUICK, n_jobs=2).sort_values("seed", ignore_index=True)
    assert killed == [1]
    assert list(table.seed) == [0, 1, 2] and table.error.isna().all()
    one = sweep(tmp_path / "one.csv", ["plain"], [8], [0, 2], QUICK)
    columns = [column for column in COLUMNS if column not in ("seconds", "date")]
    pd.testing.assert_frame_equal(one[columns], table.loc[[0, 2], columns].reset_index(drop=True))


def test_a_process_that_is_lost_each_time_ends_the_sweep_at_the_third(tmp_path, monkeypatch):
    attempts = []

    def lost(*args, **kwargs):
        attempts.append(args)
        raise TerminatedWorkerError("killed")

    monkeypatch.setattr(sweep_module.joblib, "Parallel", lambda **options: lost)
    with pytest.raises(TerminatedWorkerError):
        sweep(tmp_path / "s.csv", ["plain"], [8], [0], QUICK)
    assert len(attempts) == 3


def test_a_dask_cluster_runs_the_sweep_and_survives_the_loss_of_a_worker(tmp_path, monkeypatch):
    """The first run is a real one. It ends last, as the others are over at once: their rows are all that this test needs."""
    from distributed import Client, LocalCluster

    path, killed, columns = tmp_path / "s.csv", [], COLUMNS

    def only_the_first(family, layers, seed, recipe, dataset):  # goes to the workers by value, so that they load little
        if seed == 0:
            from resnet_lib.sweep import run

            return run(family, layers, seed, recipe, dataset)
        row = {"family": family, "layers": layers, "seed": seed, "dataset": dataset, **vars(recipe)}
        return {column: row.get(column, "" if column == "error" else 0.5) for column in columns}

    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": True,
        "dashboard_address": None,
        "silence_logs": "ERROR",
    }
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        first, _ = client.run(os.getpid).values()

        def kill_one():
            os.kill(first, signal.SIGKILL)
            killed.append(len(results(path)))

        monkeypatch.setattr(sweep_module, "run", only_the_first)
        once_after_rows(monkeypatch, 2, kill_one)
        with joblib.parallel_config(backend="dask"):
            table = sweep(path, ["plain"], [8], list(range(5)), QUICK)
    assert killed == [2]  # it was lost before the last run had ended
    assert sorted(table.seed) == list(range(5)) and table.error.isna().all()
    assert table.seed.iloc[-1] == 0 and table.versions.iloc[-1].startswith("tensorflow")


def test_two_families_cannot_have_one_name():
    """An ordering and a shortcut of one name would be one family, silently."""
    table = {"v2": FAMILIES["v2"]}
    assert sweep_module._united(table, {"C": FAMILIES["C"]}) == {"v2": FAMILIES["v2"], "C": FAMILIES["C"]}
    with pytest.raises(ValueError, match=r"FAMILIES: a name belongs to one family, \['v2'\] belong to two"):
        sweep_module._united({"plain": FAMILIES["plain"]}, table, {"v2": FAMILIES["C"]})
    assert len({FAMILIES[family](8).name for family in FAMILIES}) == len(FAMILIES)


def test_a_folder_is_made_and_a_row_says_what_ran(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "run", instant)
    assert len(sweep(tmp_path / "new" / "s.csv", ["plain"], [8], [0], QUICK)) == 1
    row = run("plain", 13, 0, QUICK)  # fails at once
    assert row["error"].startswith("ValueError: layers must be 6n + 2")
    assert row["versions"].startswith(f"tensorflow {tf.__version__}, python 3.") and row["date"].startswith("20")


@pytest.mark.parametrize("name", ["degradation.csv", "variants.csv"])
def test_the_stored_sweeps_can_be_read_and_gone_on_with(name):
    stored = results(data.path(name))
    assert list(stored.columns) == COLUMNS and stored.error.isna().all()
    records = Records(data.path(name), COLUMNS, KEY)
    first = stored.iloc[0]
    recipe = Recipe(learning_rate=0.05, warm_up=2)
    known = (first.family, int(first.layers), int(first.seed), "digits", *asdict(recipe).values())
    new = (*known[:2], 99, *known[3:])
    assert records.missing([known, new]) == [new]


@pytest.mark.parametrize(
    "family", [*ORDERINGS, "C", "scaling", "exclusive_gating", "shortcut_only_gating", "dropout", "recurrent"]
)
def test_every_family_has_the_layers_and_widths_of_the_residual_one(family):
    """Only the units or the shortcuts differ: the convolutions on the residual path, and so their MACs, are the same."""
    net, residual = FAMILIES["residual" if family == "v1" else family](20), FAMILIES["residual"](20)
    assert (net.layers, net.units, net.root) == (residual.layers, residual.units, residual.root)
    depths = [[[unit.depth for unit in block.args] for block in one.blocks] for one in (net, residual)]
    assert depths[0] == depths[1]
    assert net.shortcut == (family if family in SHORTCUTS else "A")
    if family in ORDERINGS:
        assert {block.unit_fn for block in net.blocks} == {f"basic_{family}"}
        assert cost(net).macs == cost(residual).macs


@pytest.mark.parametrize("layers", [8, 20])
def test_v2_first_differs_from_v2_in_its_first_unit_only(layers):
    net, v2 = FAMILIES["v2_first"](layers), FAMILIES["v2"](layers)
    kinds = [block.unit_fn for block in net.blocks for _ in block.args]
    assert kinds == ["basic_v2_first", *["basic_v2"] * (sum(v2.units) - 1)] and net.layers == layers
    assert [u for b in net.blocks for u in b.args] == [u for b in v2.blocks for u in b.args]
    assert (net.shortcut, net.root, cost(net)[:2]) == (v2.shortcut, v2.root, cost(v2)[:2])
