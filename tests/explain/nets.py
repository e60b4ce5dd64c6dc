"""Networks small enough to know what their maps must be."""

import torch
from torch import nn


class Pooled(nn.Module):
    """Convolution, global average, one linear layer: the networks that CAM is defined for."""

    def __init__(self, channels=3, width=6, classes=4):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stride=2, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(width, classes)

    def forward(self, inputs):
        return self.fc(self.act(self.conv(inputs)).mean(dim=(2, 3)))


class Spotter(nn.Module):
    """Three convolutions on 32 pixels: a map of 8 x 8."""

    def __init__(self, classes=2):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1, stride=2), nn.ReLU(),
            nn.Conv2d(12, 16, 3, padding=1, stride=2), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.fc = nn.Linear(16, classes)

    def forward(self, inputs):
        return self.fc(self.body(inputs).mean(dim=(2, 3)))


def planted(count, seed, side=32, patch=9):
    """Noise with a red or a green patch at a random place: pictures, classes, corners."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 90, (count, side, side, 3), generator=draw, dtype=torch.uint8)
    labels = torch.randint(0, 2, (count,), generator=draw)
    corners = torch.randint(0, side - patch + 1, (count, 2), generator=draw)
    colours = torch.tensor([[60, 230, 60], [230, 60, 60]], dtype=torch.uint8)
    for i, (y, x) in enumerate(corners.tolist()):
        pixels[i, y : y + patch, x : x + patch] = colours[labels[i]]
    return pixels, labels, corners


def prepared(pixels):
    """As the spotter takes them."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def trained_spotter():
    """A net that tells red patches from green ones, wherever they are."""
    torch.manual_seed(0)
    model = Spotter()
    pixels, labels, _ = planted(256, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(60):
        rows = slice(32 * (step % 8), 32 * (step % 8) + 32)
        loss = nn.functional.cross_entropy(model(prepared(pixels[rows])), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()
