"""The loops that the fast path is measured against, written as their authors would have: nothing of the suite in them.

`lab`: what the lab report describes. torchvision's ResNet-18, PIL operations on one image after another in a
DataLoader without processes, 32-bit floats, Adam, loss and accuracy read at every step.
`kuangliu-style`: after the widely used repository of that name. A 3x3 stem without pooling, crops with padding and
flips in PIL, 32-bit floats, SGD with momentum, loss and accuracy read at every step.
"""

from collections.abc import Iterator

import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Images(Dataset):
    """Images as PIL hands them to transforms."""

    def __init__(self, pixels, labels, transform):
        self.images = [Image.fromarray(one) for one in pixels]
        self.labels, self.transform = labels, transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), int(self.labels[index])


def lab_network() -> nn.Module:
    """ResNet-18 as torchvision has it, for ten classes."""
    return torchvision.models.resnet18(num_classes=10)


def kuangliu_network() -> nn.Module:
    """The same with a stem for small images."""
    model = lab_network()
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def lab(pixels, labels, size: int, batch_size: int) -> Iterator[int]:
    """Yield the number of images of each step."""
    operations = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    if size != pixels.shape[1]:
        operations = [
            transforms.RandomResizedCrop(size, scale=(0.5, 1.0)),
            transforms.RandomRotation(30),
            transforms.RandomHorizontalFlip(),
            *operations,
        ]
    model = lab_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, foreach=False)
    yield from _steps(model, optimizer, Images(pixels, labels, transforms.Compose(operations)), batch_size)


def kuangliu_style(pixels, labels, size: int, batch_size: int) -> Iterator[int]:
    """Yield the number of images of each step."""
    operations = [
        transforms.RandomCrop(size, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    model = kuangliu_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, foreach=False)
    yield from _steps(model, optimizer, Images(pixels, labels, transforms.Compose(operations)), batch_size)


def _steps(model, optimizer, images: Images, batch_size: int) -> Iterator[int]:
    criterion = nn.CrossEntropyLoss()
    model.train()
    while True:
        running_loss, correct, total = 0.0, 0, 0
        for inputs, labels in DataLoader(images, batch_size=batch_size, shuffle=True, num_workers=0):
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            correct += outputs.max(1)[1].eq(labels).sum().item()
            total += labels.size(0)
            yield len(labels)


LOOPS = {"lab": lab, "kuangliu-style": kuangliu_style}
NETWORKS = {"lab": lab_network, "kuangliu-style": kuangliu_network}
