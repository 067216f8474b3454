"""The command `resnet18`: one file a command."""
