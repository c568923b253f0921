"""The files of a sleap-nn model folder that are read."""

CONFIG_FILE = "training_config.yaml"
WEIGHTS_FILE = "best.ckpt"
