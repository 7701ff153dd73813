"""Code with Airflow in it that the DAGs share. They import it; Airflow itself need not load it as a plugin."""
