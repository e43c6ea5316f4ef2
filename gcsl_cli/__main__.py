"""`python -m gcsl_cli` is `gcsl`."""

from gcsl_cli.cli import main

if __name__ == "__main__":
    main()
