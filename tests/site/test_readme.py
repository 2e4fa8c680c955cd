import re
from importlib.util import find_spec

import pytest
from readme_figure import FIGURE, ROOT, figure_from_notebook

from resnet_lib import cost

README = (ROOT / "README.md").read_text()


def test_the_figure_is_the_notebooks():
    assert FIGURE.read_bytes() == figure_from_notebook()


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 6 and all((ROOT / link).exists() for link in links)


def test_every_notebook_is_in_the_map_of_chapters():
    assert all(f"notebooks/{path.name}" in README for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_the_numbers_shown_are_the_librarys():
    assert str(cost("resnet_v1_50", layout="paper")) in README


@pytest.mark.parametrize("file", ["README.md", "data/README.md"])
def test_the_modules_to_run_exist(file):
    modules = set(re.findall(r"python -m ([\w.]+)", (ROOT / file).read_text()))
    assert "resnet_lib" in modules and all(map(find_spec, modules))


def test_the_commands_named_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets
