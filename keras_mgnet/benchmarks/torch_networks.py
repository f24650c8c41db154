"""The networks of `networks` in plain PyTorch, written from the equations, in the form of the papers' code.

Their modules have the names of the papers' code. So they load the files of `keras_mgnet.save_torch_weights`.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Returns the papers' convolution: without bias, padded on both sides."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class Smoothing(nn.Module):
    """One iteration of MgNet, He2019 (4.3): u <- u + s(B s(f - A u)), where s is a norm and ReLU."""

    def __init__(self, A, B, channels):
        super().__init__()
        self.A, self.B = A, B
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def correction(self, r):
        return F.relu(self.bn2(self.B(F.relu(self.bn1(r)))))

    def forward(self, u, f):
        return u + self.correction(f - self.A(u)), f


class Transfer(nn.Module):
    """The start of a coarser grid, He2019 (4.4): u' = s(Pi u) and f' = s(R (f - A u)) + A' u'."""

    def __init__(self, A_old, A, channels):
        super().__init__()
        self.A_old, self.A_conv = A_old, A
        self.Pi_conv, self.R_conv = conv(channels, channels, stride=2), conv(channels, channels, stride=2)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def restricted(self, u, r):
        return F.relu(self.bn1(self.Pi_conv(u))), F.relu(self.bn2(self.R_conv(r)))

    def forward(self, u, f):
        u, r = self.restricted(u, f - self.A_old(u))
        return u, r + self.A_conv(u)


class MgNet(nn.Module):
    """MgNet in the feature form. Each grid has one A and one B."""

    def __init__(self, nu=(2, 2, 2, 2), channels=64):
        super().__init__()
        self.conv1, self.bn1 = conv(3, channels), nn.BatchNorm2d(channels)
        self.grids, A_old = len(nu), None
        for j, count in enumerate(nu):
            A, B = conv(channels, channels), conv(channels, channels)
            modules = [Smoothing(A, B, channels) for _ in range(count)]
            self.add_module(f"layer{j}", nn.ModuleList([Transfer(A_old, A, channels), *modules] if j else modules))
            A_old = A
        self.fc = nn.Linear(channels, CLASSES)

    def modules_in_order(self):
        return [module for j in range(self.grids) for module in getattr(self, f"layer{j}")]

    def forward(self, image):
        f = F.relu(self.bn1(self.conv1(image)))
        u = torch.zeros_like(f)
        for module in self.modules_in_order():
            u, f = module(u, f)
        return self.fc(u.mean((2, 3)))


class ResidualFormMgNet(MgNet):
    """The same function as `MgNet` in the residual form of keras_mgnet: e = s(B s(r)); u <- u + e; r <- r - A e.

    The first u is zero, so nothing is computed from it. Nothing reads the last r.
    """

    def forward(self, image):
        r, u = F.relu(self.bn1(self.conv1(image))), None
        *modules, last = self.modules_in_order()
        for module in modules:
            if isinstance(module, Transfer):
                u, r = module.restricted(u, r)
            else:
                e = module.correction(r)
                u, r = e if u is None else u + e, r - module.A(e)
        e = last.correction(r)
        return self.fc((e if u is None else u + e).mean((2, 3)))


class PreActBlock(nn.Module):
    """The pre-activation block, He2019 (2.1), (2.2): x <- R x + A s(B s(x)), where s is a norm and ReLU."""

    def __init__(self, inputs, channels, stride, A):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(channels)
        self.conv1, self.conv2 = conv(inputs, channels, stride=stride), A
        if stride > 1 or inputs != channels:
            self.shortcut = nn.Sequential(conv(inputs, channels, 1, stride))

    def forward(self, x):
        s = F.relu(self.bn1(x))
        shortcut = self.shortcut(s) if hasattr(self, "shortcut") else x
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(s))))


class PreActResNet18(nn.Module):
    """Four grids with two blocks each. With `share_A`, the two blocks of a grid have the same A."""

    def __init__(self, share_A=False):
        super().__init__()
        self.conv1, inputs = conv(3, 64), 64
        for j, channels in enumerate((64, 128, 256, 512), start=1):
            A, blocks = conv(channels, channels), []
            for i in range(2):
                stride = 2 if j > 1 and not i else 1
                blocks.append(
                    PreActBlock(inputs, channels, stride, A if share_A or not i else conv(channels, channels))
                )
                inputs = channels
            self.add_module(f"layer{j}", nn.Sequential(*blocks))
        self.linear = nn.Linear(512, CLASSES)

    def forward(self, image):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(image)))))
        return self.linear(x.mean((2, 3)))


class LMBlock(nn.Module):
    """The increment f(x) of a block of LM-ResNet: norm, ReLU and 3x3 convolution, twice."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(channels)
        self.conv1, self.conv2 = conv(inputs, channels, stride=stride), conv(channels, channels)

    def forward(self, x):
        return self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))


class Downsample(nn.Module):
    """The shortcut R s(x) of a block that changes the shape, where s is a norm and ReLU."""

    def __init__(self, inputs, channels):
        super().__init__()
        self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), conv(inputs, channels, 1, 2))

    def forward(self, x):
        return self.downsample(x)


class LMResNet56(nn.Module):
    """LM-ResNet, Lu2018 (1), on three grids with nine blocks each, and 16, 32 and 64 channels.

        x_{n+1} = (1 - k_n) x_n + k_n x_{n-1} + f(x_n)

    The trained parameter `ks` of a block is 1 - k_n, and k_0 = 0. Where the shape changes, x_{n+1} = R s(x_n) + f(x_n), and
    R s(x_n) becomes the previous state. s is a norm and ReLU, and R is a 1x1 convolution.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = conv(3, 16)
        widths = [16, *(16,) * 9, *(32,) * 9, *(64,) * 9]
        changes = [a != b for a, b in pairwise(widths)]
        self.blocks = nn.ModuleList(LMBlock(widths[n], widths[n + 1], 1 + changes[n]) for n in range(27))
        self.ks = nn.ParameterDict({str(n): torch.empty(1).uniform_(1, 1.1) for n in range(27) if n % 9})
        self.downsample21, self.downsample31 = Downsample(16, 32), Downsample(32, 64)
        self.bn, self.fc = nn.BatchNorm2d(64), nn.Linear(64, CLASSES)

    def forward(self, image):
        x, previous = self.conv1(image), None
        for n, block in enumerate(self.blocks):
            if n in (9, 18):
                previous = (self.downsample21 if n == 9 else self.downsample31)(x)
                x = previous + block(x)
            elif n == 0:
                x, previous = x + block(x), x
            else:
                ks = self.ks[str(n)]
                x, previous = ks * x + (1 - ks) * previous + block(x), x
        return self.fc(F.relu(self.bn(x)).mean((2, 3)))
