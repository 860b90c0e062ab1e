"""`python -m exeunt`."""

from __future__ import annotations

from exeunt.cli import main

if __name__ == "__main__":
    main()
