"""`python -m client`: see client.command_line."""

import sys

from client.command_line import main

if __name__ == "__main__":
    sys.exit(main())
