from tests.common.postgres import postgres  # noqa: F401
