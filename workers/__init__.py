"""The Celery workers: inference (no database) and aggregation (role A's database)."""
