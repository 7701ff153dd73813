"""The search for hyperparameters, by keras-tuner."""

# What a search depends on besides its inputs: the key of what it leaves contains them.
CODE = ("include.training.head", "include.training.losses", "include.tuning.search")
PACKAGES = ("keras", "keras-tuner", "tensorflow")
