"""What tests of more than one part share: real servers, real processes, small keys, faults."""

import pytest

# Helpers that assert, outside of test files.
pytest.register_assert_rewrite("tests.system.ward")
