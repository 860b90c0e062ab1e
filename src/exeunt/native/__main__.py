"""`python -m exeunt.native`: compiles the kernels again and says what is in use."""

from __future__ import annotations

import sys

from exeunt.native.build import LIBRARY, BuildError, build
from exeunt.native.library import in_use


def main() -> int:
    """Returns the exit status."""
    try:
        build()
    except BuildError as error:
        print(f"exeunt: {error}", file=sys.stderr)
        return 1
    print(f"{LIBRARY}: {in_use()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
