"""`python -m gcsl_cli` is `gcsl`."""

from gcsl_cli.cli.commands import main

if __name__ == "__main__":
    main()
