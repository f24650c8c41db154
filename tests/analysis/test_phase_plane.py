"""The phase planes of Lu2017, Figure 1, against the recursion in numpy and what the eigenvalues say."""

import numpy as np
import pytest

from keras_mgnet.analysis import phase_planes
from keras_mgnet.analysis.phase_plane import MATRICES, STARTS, plot_phase_planes


@pytest.mark.parametrize("activation", ["tanh", "linear"])
def test_paths_are_the_recursion_written_out(activation):
    result = phase_planes(7, 0.2, activation)
    sigma = np.tanh if activation == "tanh" else np.positive
    for name, K in MATRICES.items():
        ys = [np.array(STARTS)]
        for _ in range(7):
            ys.append(ys[-1] + 0.2 * sigma(ys[-1] @ np.array(K)))
        np.testing.assert_allclose(result.path[name], np.stack(ys, axis=1), rtol=1e-13)
        apart = [np.linalg.norm(y[[0, 0, 1]] - y[[1, 2, 2]], axis=1) for y in (ys[0], ys[-1])]
        assert result.distance[name] == pytest.approx((min(apart[1] / apart[0]), max(apart[1] / apart[0])))


def test_features_diverge_vanish_or_turn():
    """A skew K keeps angles, and forward Euler multiplies distances by (1 + h^2)^(1/2) in each layer."""
    distance = phase_planes(10, 0.1).distance
    assert distance["K+"][0] > 2 and distance["K-"][1] < 0.3
    assert distance["K0"] == pytest.approx((1.05, 1.05), abs=0.01)
    exact = (1 + 0.1**2) ** 5
    assert phase_planes(10, 0.1, "linear").distance["K0"] == pytest.approx((exact, exact), rel=1e-12)
    assert [np.linalg.eigvals(np.array(K)).round(9).tolist() for K in MATRICES.values()] == [
        [2, 2],
        [-2, -2],
        [1j, -1j],
    ]


def test_the_picture_is_drawn(tmp_path):
    plot_phase_planes(phase_planes(2), tmp_path / "planes.png")
    assert (tmp_path / "planes.png").read_bytes().startswith(b"\x89PNG")
