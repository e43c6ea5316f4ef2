"""`python -m gcsl_cli` is `gcsl`."""

import sys

from gcsl_cli.cli import stopping


def main() -> None:
    """Run the command line of this process; a signal may arrive while it is still being imported."""
    with stopping.sigterm_as_ctrl_c():
        try:
            from gcsl_cli.cli.commands import main as command_line

            command_line()
        except KeyboardInterrupt:
            sys.exit(stopping.report(as_json="--json" in sys.argv))


if __name__ == "__main__":
    main()
