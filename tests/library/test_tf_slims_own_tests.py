"""ResNet V1 and V2 against tf-slim's own tests."""

import subprocess
import sys
from pathlib import Path

from tf_slim.nets import resnet_v1, resnet_v2


def test_they_pass_with_only_the_import_replaced(tmp_path):
    """In one process, as they turn eager mode off."""
    for theirs in (resnet_v1, resnet_v2):
        tests = Path(theirs.__file__.replace(".py", "_test.py"))
        ported = tests.read_text().replace("from tf_slim.nets import resnet_", "from resnet_lib import resnet_")
        assert ported.count("from resnet_lib import") == 2 and "tf_slim.nets" not in ported
        (tmp_path / f"test_{tests.name}").write_text(ported)
    quickly = (
        "import sys, pytest; from resnet_lib.tf_slim_compat import quick_building\n"
        "with quick_building(): pytest.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", quickly, "-q", "-p", "no:cacheprovider", *map(str, sorted(tmp_path.iterdir()))]
    printed = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "30 passed, 4 skipped" in printed, printed  # tf.test.TestCase skips its own test_session, twice a file
