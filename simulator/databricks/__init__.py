"""A Databricks workspace as a local server: see README.md."""
