import resnet_lib.tf_slim_compat  # noqa: F401  first, so that no other import of TensorFlow prints its start-up lines
