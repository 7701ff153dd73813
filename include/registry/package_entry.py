"""The entry file of every model version: MLflow runs it to build the model.

It holds no code of its own; a version is data for the `include` that is deployed.
"""

from mlflow.models import set_model

from include.registry.package import CatModel

set_model(CatModel())
