"""All that can be tested without Airflow and without a browser. See docs/architecture.md for the stages."""
