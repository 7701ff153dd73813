#!/bin/sh
# Runs once, on an empty volume: a database and an owner for each of Airflow and MLflow, so that neither reads the other's.
set -eu
psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -U postgres <<SQL
CREATE ROLE airflow LOGIN PASSWORD '$AIRFLOW_DB_PASSWORD';
CREATE ROLE mlflow LOGIN PASSWORD '$MLFLOW_DB_PASSWORD';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE airflow, mlflow FROM PUBLIC;
SQL
