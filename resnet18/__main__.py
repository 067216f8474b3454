"""`python -m resnet18` is the command `resnet18`."""

import sys


def main() -> None:
    """Carry the command out; where the package cannot be imported, end with 5: Python's 1 is for a regression."""
    try:
        from resnet18.cli.app import main as command  # noqa: PLC0415 - so that its errors are caught
    except Exception as error:  # noqa: BLE001 - whatever a module raises
        sys.stderr.write(
            f"error: the package cannot be imported: {error!r}\n  next: pip install -e . (or: make test)\n"
        )
        sys.exit(5)
    command()


if __name__ == "__main__":
    main()
