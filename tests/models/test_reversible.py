"""The reversible networks: their sizes, their transitions, and arguments that make none."""

import numpy as np
import pytest

from keras_mgnet import HamiltonianNet, RevNet, count_params
from keras_mgnet.layers import Force, Halves, SkewConv


@pytest.mark.parametrize(("depth", "params"), [(38, 464_890), (110, 1_729_194), (164, 1_748_778)])
def test_revnets_have_their_exact_size(depth, params):
    model = RevNet(depth)
    assert count_params(model) == params
    features = model.layers[-2].output.shape[-1]
    assert params + 90 * (features + 1) == {38: 475_060, 110: 1_740_804, 164: 1_794_948}[depth]  # with 100 classes


def test_the_convolutions_of_hamiltonian_74_have_their_exact_size():
    model = HamiltonianNet(input_shape=(8, 8, 3))
    kernels = [w for w in model.trainable_weights if w.path.startswith("level") and w.path.endswith("kernel")]
    assert (model.name, sum(w.numpy().size for w in kernels)) == ("hamiltonian74", 476_928)


def test_the_first_F_has_no_preactivation_and_the_halves_are_those_of_the_channels():
    model = RevNet(blocks=(2, 2), channels=(4, 6), input_shape=(8, 8, 1))
    first, second = model.get_layer("level1").field.fields
    assert [norm is None for norm in first.norms()[0]] == [True, False]
    assert all(norm is not None for norm in second.norms()[0])
    x = np.arange(4.0).reshape(1, 1, 1, 4)
    assert [half.numpy().ravel().tolist() for half in Halves()(x)] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RevNet(39), "unknown depth '39'; did you mean '38'"),
        (lambda: RevNet(blocks=(3, 1), channels=(4, 4)), r"expected at least 2 blocks .* Received: blocks=\(3, 1\)"),
        (lambda: RevNet(blocks=3), r"expected blocks=\(3,\), or blocks"),
        (lambda: RevNet(bottleneck=1), "unknown bottleneck '1'"),
        (lambda: RevNet(blocks=(3, 2)), "expected channels to have 2 entries"),
        (lambda: RevNet(channels=(4, 5, 6)), r"expected channels to be even\. Received: channels=\(4, 5, 6\)"),
        (lambda: HamiltonianNet("hamilton"), "did you mean 'hamiltonian'"),
        (lambda: HamiltonianNet(dt=-1), "expected dt between 0 and inf. Received: dt=-1"),
        (lambda: HamiltonianNet("verlet", channels=(3, 4, 4)), "expected channels to be even"),
        (
            lambda: HamiltonianNet("midpoint", inner=8),
            r"expected inner only with scheme 'hamiltonian', 'leapfrog', 'verlet', 'parabolic'\. Received: inner=8",
        ),
        (lambda: HamiltonianNet("verlet", inner=32), r"expected inner to be less than channels\. Received: inner=32"),
        (lambda: HamiltonianNet(inner=(8, 8)), "expected inner to have 3 entries"),
        (lambda: HamiltonianNet(gamma=0.1), "expected gamma only with scheme='antisymmetric'. Received: gamma=0.1"),
        (
            lambda: HamiltonianNet(damping=0.1),
            "expected damping only with scheme='second_order'. Received: damping=0.1",
        ),
        (
            lambda: HamiltonianNet("second_order", damping=20.0),
            "expected damping to be less than 2 / dt. Received: damping",
        ),
        (
            lambda: HamiltonianNet("second_order", damping="1"),
            "expected damping between 0 and inf. Received: damping='1'",
        ),
        (lambda: Force(4, ("gradients",), (1.0,)), "did you mean 'gradient'"),
        (lambda: SkewConv(4).build((None, 5, 5, 3)), r"expected an input of 4 channels\. Received: input_shape="),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
