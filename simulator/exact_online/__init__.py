"""Exact Online as a local server: OAuth, the REST API of seven entities with their sync feeds, limits and faults."""
