"""Lax-Friedrichs and Lax-Wendroff of Lu2018: their steps, orders and modified equations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.analysis import observed_orders, plot_transport, solution, transported
from keras_mgnet.analysis.modified_equations import TRANSPORT


def step(u, name, r):
    """The schemes as textbooks print them, for u_t = c u_x."""
    before, after = np.roll(u, 1), np.roll(u, -1)
    if name == "Lax-Friedrichs":
        return (after + before) / 2 + r / 2 * (after - before)
    return u + r / 2 * (after - before) + r**2 / 2 * (after - 2 * u + before)


@given(st.sampled_from(list(TRANSPORT)), st.floats(-1, 1), st.integers(0, 4))
def test_blocks_are_steps_of_the_scheme(name, r, steps):
    u = np.random.default_rng(0).normal(size=9)
    expected = u
    for _ in range(steps):
        expected = step(expected, name, r)
    found = transported(u, name, r, steps) if steps else u
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_transport_equation_moves_a_profile_to_the_left():
    u = np.exp(np.cos(2 * np.pi * np.arange(64) / 64))
    np.testing.assert_allclose(solution(u, 0.5, 12), np.roll(u, -6), rtol=1e-12)


@pytest.mark.parametrize(("name", "order"), [("Lax-Friedrichs", 1), ("Lax-Wendroff", 2)])
def test_the_modified_equation_is_one_order_closer(name, order):
    orders = observed_orders(name, points=64)
    assert orders["transport"] == pytest.approx(order, abs=0.1)
    assert orders["modified"] == pytest.approx(order + 1, abs=0.1)


@given(st.sampled_from(list(TRANSPORT)), st.floats(0.1, 0.95))
def test_the_coefficient_is_the_next_term_of_the_symbol(name, r):
    """log of the amplification factor of a wave exp(i theta j): i r theta + C (i theta)^p + O(theta^(p + 1))."""
    scheme, gaps = TRANSPORT[name], []
    for theta in (0.02, 0.01):
        factor = np.dot(scheme.taps(r), np.exp(1j * theta * np.array([-1, 0, 1])))
        gaps.append(abs(np.log(factor) - 1j * r * theta - scheme.C(r) * (1j * theta) ** scheme.p))
    assert gaps[0] < 0.02 ** (scheme.p + 1) and gaps[0] / gaps[1] > 2 ** (scheme.p + 0.9)


def test_the_printed_sign_of_Lax_Wendroff_is_that_of_the_other_direction(monkeypatch):
    """Lu2018 prints (r^2 - 1) u_xxx for u_t - c u_x. It holds for u_t + c u_x; with it the order stays 2."""
    row = TRANSPORT["Lax-Wendroff"]
    monkeypatch.setitem(TRANSPORT, "Lax-Wendroff", row._replace(C=lambda r: -row.C(r)))
    assert observed_orders("Lax-Wendroff", points=64)["modified"] == pytest.approx(2, abs=0.1)


def test_unknown_schemes_are_refused_and_the_picture_is_drawn(tmp_path):
    with pytest.raises(ValueError, match="unknown scheme 'Lax'"):
        transported(np.ones(4), "Lax", 0.5, 1)
    plot_transport(tmp_path / "transport.png", points=16, steps=4)
    assert (tmp_path / "transport.png").read_bytes().startswith(b"\x89PNG")
