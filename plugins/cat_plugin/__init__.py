"""Airflow-aware code that several DAGs share. Imported by them; Airflow itself need not load it as a plugin."""
