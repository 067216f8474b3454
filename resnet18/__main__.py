"""`python -m resnet18` is the command `resnet18`."""

from resnet18.cli.app import main

if __name__ == "__main__":
    main()
