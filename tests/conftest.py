"""This file makes tests/ a folder of modules (`slim_networks`) for every folder below it; pytest finds tools/ and book/ by
`pythonpath` in pyproject.toml."""

import resnet_lib.tf_slim_compat  # noqa: F401  first, so that no other import of TensorFlow prints its start-up lines
