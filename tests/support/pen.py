"""The ten digits as a hand writes them: strokes in a box from (0, 0) to (1, 1), and where on a board they are written."""

import itertools
import math

BOARD = 280  # pixels a side
PLACES = ((0.5, 0.5), (0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7))  # of the middle, as a share of the board
HEIGHTS = (50, 100, 150)  # pixels


def arc(x, y, rx, ry, first, last):
    """Points of an ellipse, with angles in degrees, clockwise from the right."""
    steps = max(2, round(abs(last - first) / 15))
    angles = (math.radians(first + (last - first) * i / steps) for i in range(steps + 1))
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


DIGITS = {
    "0": [arc(0.5, 0.5, 0.27, 0.5, -90, 270)],
    "1": [[(0.5, 0.0), (0.5, 1.0)]],
    "2": [[*arc(0.48, 0.25, 0.23, 0.25, 190, 390), (0.25, 1.0), (0.8, 1.0)]],
    "3": [[*arc(0.45, 0.24, 0.24, 0.24, 200, 440), *arc(0.45, 0.74, 0.26, 0.26, -80, 160)]],
    "4": [[(0.4, 0.0), (0.22, 0.6), (0.75, 0.6)], [(0.65, 0.3), (0.6, 1.0)]],
    "5": [[(0.72, 0.0), (0.35, 0.0), (0.32, 0.42), *arc(0.45, 0.7, 0.26, 0.3, -80, 150)]],
    "6": [[(0.52, 0.0), (0.34, 0.4), *arc(0.5, 0.74, 0.2, 0.26, 180, -180)]],
    "7": [[(0.25, 0.0), (0.7, 0.0), (0.42, 1.0)], [(0.3, 0.5), (0.72, 0.5)]],
    "8": [[*arc(0.5, 0.24, 0.18, 0.24, 90, 450), *arc(0.5, 0.74, 0.22, 0.26, -90, 270)]],
    "9": [[*arc(0.5, 0.25, 0.22, 0.25, 0, -360), (0.7, 0.5), (0.65, 0.8), (0.4, 1.0)]],
}


def drawings():
    """Yields (digit, strokes in pixels of the board) for each digit at each place and height."""
    for digit, (x, y), height in itertools.product(DIGITS, PLACES, HEIGHTS):
        corner = x * BOARD - height / 2, y * BOARD - height / 2
        yield (
            digit,
            [
                [[c + height * p for c, p in zip(corner, point, strict=True)] for point in stroke]
                for stroke in DIGITS[digit]
            ],
        )
