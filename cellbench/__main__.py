"""`python -m cellbench`, and what the `cellbench` script runs."""

from cellbench.cli import main

if __name__ == "__main__":
    main(prog_name="cellbench")
