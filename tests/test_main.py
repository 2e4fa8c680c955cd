import re
import subprocess
import sys

import pandas as pd
import pytest

from resnet_lib.__main__ import main


def test_cost(capsys):
    main(["cost", "resnet_v2_50", "resnet_v2_200"])
    assert capsys.readouterr().out.splitlines() == [
        "resnet_v2_50: 25,568,360 parameters, 3,482,255,360 MACs, 9,271,016 activations",
        "resnet_v2_200: 64,726,120 parameters, 14,400,552,960 MACs, 30,344,936 activations",
    ]


def test_cost_in_other_layouts_with_other_shortcuts_and_of_tf_slims_networks(capsys):
    main(["cost", "resnet_v1_50", "resnet_v1_34", "--layout", "paper", "--shortcut", "A"])
    main(["cost", "resnet_v1_cifar_20", "alexnet_v2"])
    assert [line.split(" MACs")[0] for line in capsys.readouterr().out.splitlines()] == [
        "resnet_v1_50: 22,780,456 parameters, 3,498,311,680",
        "resnet_v1_34: 21,623,848 parameters, 3,644,493,824",
        "resnet_v1_cifar_20: 269,722 parameters, 40,551,040",
        "alexnet_v2: 50,303,912 parameters, 736,555,776",
    ]


def test_table(capsys):
    main(["table"])
    out = capsys.readouterr().out
    assert (
        "1x1, 256 / 3x3, 256 / 1x1, 1024 / x 36" in out and "3x3, 512 / 3x3, 512 / x 2" in out and "3.858 x 10^9" in out
    )
    main(["table", "resnet_v1_50", "--layout", "v1.5"])
    assert "4.089 x 10^9" in capsys.readouterr().out
    main(["table", "--costs", "resnet_v2_101"])
    assert "44577896" in capsys.readouterr().out


def test_time_writes_a_row_for_every_batch_size(tmp_path, capsys):
    path = tmp_path / "times.csv"
    main(
        [
            "time",
            "resnet_v2_50",
            "--image-size",
            "32",
            "--batch-size",
            "1",
            "2",
            "--num-batches",
            "1",
            "--csv",
            str(path),
        ]
    )
    out = capsys.readouterr().out
    assert "resnet_v2_50, batch 1, " in out and "resnet_v2_50, batch 2, " in out and "images/s" in out
    assert len(path.read_text().splitlines()) == 3


def test_sweep_appends_a_row_a_run_and_prints_the_errors(tmp_path, capsys):
    path = tmp_path / "sweep.csv"
    grid = ["--families", "plain", "--layers", "8", "--seeds", "0", "1"]
    main(["sweep", str(path), *grid, "--epochs", "1", "--batch-size", "500", "--learning-rate", "0.2"])
    printed = capsys.readouterr().out
    assert "train_error" in printed and "mean" in printed and "plain" in printed
    rows = path.read_text().splitlines()
    assert len(rows) == 3 and all(row.startswith(f"plain,8,{i},digits,1,500,0.2,") for i, row in enumerate(rows[1:]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "x.csv", "--layers", "21"], "error: layers must be 6n + 2 for version 1 (8, 14, 20, ...), got 21"),
        (["sweep", "x.csv", "--families", "dense"], "error: family must be one of"),
        (["sweep", "x.csv", "--epochs", "0"], "error: epochs must be a positive whole number, got 0"),
        (["cost", "resnet_v2_49"], "error: no architecture is called 'resnet_v2_49'; the nearest is 'resnet_v2_"),
        (["cost", "resnet_v2_50", "--image-size", "0"], "error: image_size must be a positive whole number, got 0"),
        (["time", "resnet_v2_50", "--batch-size", "0"], "error: batch_size must be a positive whole number, got 0"),
    ],
)
def test_bad_arguments_end_with_one_line(arguments, message):
    with pytest.raises(SystemExit, match=re.escape(message)):
        main(arguments)


def test_help_lists_the_commands():
    run = subprocess.run([sys.executable, "-m", "resnet_lib", "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and all(word in run.stdout for word in ("table", "cost", "time", "sweep"))


def test_time_takes_engines_and_precisions_and_a_missing_engine_is_a_row(tmp_path, capsys, monkeypatch):
    from resnet_lib import freezing

    monkeypatch.setattr(freezing, "find_spec", lambda name: None)
    path = tmp_path / "times.csv"
    small = ["resnet_v2_50", "--image-size", "32", "--batch-size", "1", "--num-batches", "1", "--csv", str(path)]
    main(["time", *small, "--engine", "tf", "openvino", "--precision", "float32", "bfloat16"])
    table = pd.read_csv(path)
    assert list(table.engine) == ["tf", "tf", "openvino", "openvino"]
    assert list(table.precision) == ["float32", "bfloat16"] * 2
    assert list(table.error.isna()) == [True, True, False, False]
    assert (
        table.error[2].startswith("engine: 'openvino' needs the package of that name")
        and table.median_ms[:2].gt(0).all()
    )
    assert "resnet_v2_50, tf, bfloat16, batch 1" in capsys.readouterr().out
