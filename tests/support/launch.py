"""Runs a module of the program with small keys and faults: `python -m tests.support.launch -m ...`.

`LocalSystem(python=LAUNCHER)` starts every process through this.
"""

from __future__ import annotations

import runpy
import sys

LAUNCHER = (sys.executable, "-m", "tests.support.launch")


def main() -> None:
    module, arguments = sys.argv[2], sys.argv[3:]
    import config
    from tests.support import fault_points, small_keys

    small_keys.allow_small_keys()
    config.LEAST_LEASE_SECONDS = 1  # a test need not wait a minute for a lease
    if module == "app.keyholder.init":
        small_keys.make_small_keys()
    fault_points.install(module, arguments)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
