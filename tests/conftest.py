"""This file makes tests/ a folder of modules (`slim_networks`) for every folder below it; pytest finds tools/ and book/ by
`pythonpath` in pyproject.toml."""

import importlib

import psutil

from resnet_lib.records import usable_cores

GIB_OF_A_PROCESS = 4  # the most that one takes: ResNet V2-152 in notebook 08

# What takes longest, as a whole file and in one process, begins first: no core waits for it in the end.
LONGEST = [
    *("test_lab.py", "test_book.py", "test_benchmarks.py", "08_", "02_", "11_", "06_", "10_", "09_"),
    *("test_explorer.py", "test_network.py", "test_units.py", "test_weights.py", "test_bank.py"),
    *("test_tf_slims_own_tests.py", "07_", "05_", "01_", "03_", "04_", "00_", "test_atlas.py", "test_highway_depth.py"),
    "test_training.py",  # two minutes that by the alphabet would begin last, while the other core has nothing left
]


def pytest_configure(config):
    """Before any test's module, so that no other import of TensorFlow prints its start-up lines; but not in the process that
    only hands the tests out."""
    if not config.getoption("numprocesses", None):
        importlib.import_module("resnet_lib.tf_slim_compat")


def pytest_xdist_auto_num_workers(config):
    """For `-n auto`: a process more than there are cores, as some wait for a browser, but no more than memory holds."""
    room = psutil.virtual_memory().available // (GIB_OF_A_PROCESS * 2**30)
    return max(1, min(usable_cores() + 1, room))


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.name
        return next((i for i, start in enumerate(LONGEST) if name.startswith(start)), len(LONGEST))

    items.sort(key=place)
