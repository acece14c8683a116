"""``python -m zerolabel``."""

from zerolabel.cli import main

if __name__ == "__main__":
    main()
