"""The networks of `networks` in plain PyTorch, written from the equations, in the form of the papers' code."""

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Returns the papers' convolution: without bias, padded on both sides."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def norms(channels: int, count: int) -> nn.ModuleList:
    """Returns one norm per iteration."""
    return nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(count))


class MgNet(nn.Module):
    """MgNet, He2019 (4.3)-(4.4), in the feature form: u <- u + s(B s(f - A u)), where s is a norm and ReLU.

    Each grid has one A and one B.
    """

    def __init__(self, nu=(2, 2, 2, 2), channels=64):
        super().__init__()
        self.nu = nu
        grids = range(len(nu))
        self.stem, self.stem_norm = conv(3, channels), nn.BatchNorm2d(channels)
        self.A = nn.ModuleList(conv(channels, channels) for _ in grids)
        self.B = nn.ModuleList(conv(channels, channels) for _ in grids)
        self.s1 = nn.ModuleList(norms(channels, count) for count in nu)
        self.s2 = nn.ModuleList(norms(channels, count) for count in nu)
        self.Pi = nn.ModuleList(conv(channels, channels, stride=2) for _ in grids[1:])
        self.R = nn.ModuleList(conv(channels, channels, stride=2) for _ in grids[1:])
        self.Pi_norm, self.R_norm = norms(channels, len(nu) - 1), norms(channels, len(nu) - 1)
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, image):
        f = F.relu(self.stem_norm(self.stem(image)))
        u = torch.zeros_like(f)
        for j, A in enumerate(self.A):
            if j:
                r = f - self.A[j - 1](u)
                u = F.relu(self.Pi_norm[j - 1](self.Pi[j - 1](u)))
                f = F.relu(self.R_norm[j - 1](self.R[j - 1](r))) + A(u)
            for s1, s2 in zip(self.s1[j], self.s2[j], strict=True):
                u = u + F.relu(s2(self.B[j](F.relu(s1(f - A(u))))))
        return self.classifier(u.mean((2, 3)))


class ResidualFormMgNet(MgNet):
    """The same function as `MgNet` in the residual form of keras_mgnet: e = s(B s(r)); u <- u + e; r <- r - A e.

    The first u is zero, so nothing is computed from it.
    """

    def forward(self, image):
        r, u = F.relu(self.stem_norm(self.stem(image))), None
        for j, A in enumerate(self.A):
            if j:
                u = F.relu(self.Pi_norm[j - 1](self.Pi[j - 1](u)))
                r = F.relu(self.R_norm[j - 1](self.R[j - 1](r)))
            for i, (s1, s2) in enumerate(zip(self.s1[j], self.s2[j], strict=True)):
                e = F.relu(s2(self.B[j](F.relu(s1(r)))))
                u = e if u is None else u + e
                if i + 1 < self.nu[j] or j + 1 < len(self.nu):
                    r = r - A(e)
        return self.classifier(u.mean((2, 3)))


class PreActBlock(nn.Module):
    """The pre-activation block, He2019 (2.1), (2.2): x <- R x + A s(B s(x)), where s is a norm and ReLU."""

    def __init__(self, inputs, channels, stride, A):
        super().__init__()
        self.s1, self.s2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(channels)
        self.B, self.A = conv(inputs, channels, stride=stride), A
        self.R = conv(inputs, channels, 1, stride) if stride > 1 or inputs != channels else None

    def forward(self, x):
        s = F.relu(self.s1(x))
        shortcut = x if self.R is None else self.R(s)
        return shortcut + self.A(F.relu(self.s2(self.B(s))))


class PreActResNet18(nn.Module):
    """Four grids with two blocks each. With `share_A`, the two blocks of a grid have the same A."""

    def __init__(self, share_A=False):
        super().__init__()
        self.stem = conv(3, 64)
        blocks, inputs = [], 64
        for j, channels in enumerate((64, 128, 256, 512)):
            shared = conv(channels, channels)
            for i in range(2):
                stride = 2 if j and not i else 1
                blocks.append(PreActBlock(inputs, channels, stride, shared if share_A else conv(channels, channels)))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(512, CLASSES)

    def forward(self, image):
        return self.classifier(self.blocks(self.stem(image)).mean((2, 3)))


class LMBlock(nn.Module):
    """The LM block, Lu2018 (1). Returns x_{n+1} and the state that the next block takes as x_{n-1}.

        x_{n+1} = (1 - k) x_n + k x_{n-1} + f(x_n)

    If the shape changes, x_{n+1} = R s(x_n) + f(x_n), where s is a norm and ReLU. The first block of the network has k = 0.
    """

    def __init__(self, inputs, channels, stride, first):
        super().__init__()
        self.f = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            conv(inputs, channels, stride=stride),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            conv(channels, channels),
        )
        self.k = None if first else nn.Parameter(torch.empty(()).uniform_(-0.1, 0))
        self.R = None
        if stride > 1:
            self.R = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), conv(inputs, channels, 1, stride))

    def forward(self, x, previous):
        if self.R is not None:
            projected = self.R(x)
            return projected + self.f(x), projected
        if self.k is None:
            return x + self.f(x), x
        return (1 - self.k) * x + self.k * previous + self.f(x), x


class LMResNet56(nn.Module):
    """Three grids with nine blocks each, and 16, 32 and 64 channels."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        blocks, inputs = [], 16
        for channels in (16, 32, 64):
            for i in range(9):
                blocks.append(LMBlock(inputs, channels, 2 if channels > 16 and not i else 1, first=not i))
                inputs = channels
        self.blocks, self.norm = nn.ModuleList(blocks), nn.BatchNorm2d(64)
        self.classifier = nn.Linear(64, CLASSES)

    def forward(self, image):
        x, previous = self.stem(image), None
        for block in self.blocks:
            x, previous = block(x, previous)
        return self.classifier(F.relu(self.norm(x)).mean((2, 3)))
