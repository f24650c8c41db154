"""Operator-dependent interpolation, semicoarsening, harmonic means: against scalar loops, sparse matrices, exact solutions."""

import itertools

import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet.layers import StencilFieldTransfer
from keras_mgnet.multigrid import anisotropic, convergence_factor, diffusion, solver
from keras_mgnet.multigrid.black_box import black_box
from keras_mgnet.multigrid.grids import hierarchy, rediscretised_field
from keras_mgnet.multigrid.sparse import operator_matrix, pyamg_solver, restriction_matrix

HALVES = {(3, 3): (True, True), (3, 1): (True, False), (1, 3): (False, True)}


def jumping(n=15, contrast=1000.0, seed=0):
    return diffusion(np.where(np.random.default_rng(seed).random((n + 1, n + 1)) < 0.5, 1.0, contrast))


def nine_points():
    """Stencils with all nine entries, on 15 x 15 points."""
    return hierarchy(jumping(31), 31, 2, "full_weighting", "galerkin")[1].A


def dendy(A):
    """The interpolation of Dendy 1982 point by point, as a dense matrix. Coarse points are those with odd row and column."""
    n = len(A)
    m = n // 2
    P = np.zeros((n, n, m * m))

    def at(i, j):
        return P[i, j] if 0 <= i < n and 0 <= j < n else 0.0

    def inner(i, j):
        return {
            (a, b): A[i, j, a + 1, b + 1] for a in (-1, 0, 1) for b in (-1, 0, 1) if 0 <= i + a < n and 0 <= j + b < n
        }

    for i in range(m):
        for j in range(m):
            P[2 * i + 1, 2 * j + 1, i * m + j] = 1
    for i in range(n):
        for j in range(n):
            if i % 2 != j % 2:
                K = inner(i, j)
                axis = 1 if i % 2 else 0
                sums = [sum(value for offset, value in K.items() if offset[axis] == side) for side in (-1, 0, 1)]
                a, b = (at(i, j - 1), at(i, j + 1)) if i % 2 else (at(i - 1, j), at(i + 1, j))
                P[i, j] = -(sums[0] * a + sums[2] * b) / sums[1]
    for i in range(0, n, 2):
        for j in range(0, n, 2):
            K = inner(i, j)
            P[i, j] = -sum(K[a, b] * at(i + a, j + b) for a, b in K if (a, b) != (0, 0)) / K[0, 0]
    return P.reshape(n * n, m * m)


@pytest.mark.parametrize("field", [jumping, nine_points])
def test_the_interpolation_is_dendys(field):
    A = field()
    computed = restriction_matrix(black_box(A), 15).toarray().T
    np.testing.assert_allclose(computed, dendy(A), atol=1e-9)


def test_the_interpolation_solves_layered_problems_exactly():
    """If a changes only from column to column, the fluxes along a row are constant, and u is known at every point."""
    a = np.random.default_rng(0).uniform(1, 1000, 16)
    A = diffusion(np.broadcast_to(a, (16, 16)))
    exact = np.cumsum(1 / a)[:-1]
    P = black_box(A)
    line = P[3, :, 1]  # weights of the coarse points of a row
    between = line[:-1, 2] * exact[1:-2:2] + line[1:, 0] * exact[3::2]
    np.testing.assert_allclose(between, exact[2:-1:2], rtol=1e-12)
    semi = black_box(A, (False, True))[3, :, 0]
    np.testing.assert_allclose(semi, line, rtol=1e-12)


@pytest.mark.parametrize("size", HALVES)
def test_transfers_of_fields_are_adjoint_and_those_of_sparse_matrices(size):
    layer = StencilFieldTransfer(size, dtype="float64")
    layer.build((None, 7, 15, 2))
    rng = np.random.default_rng(0)
    P = rng.normal(size=layer.kernel.shape)
    layer.kernel.assign(P)
    h, w = layer.compute_output_shape((None, 7, 15, 2))[1:3]
    x, y = rng.normal(size=(2, 7, 15, 2)), rng.normal(size=(2, h, w, 2))
    down, up = layer(tensor(x)).numpy(), layer(tensor(x), tensor(y)).numpy()
    R = restriction_matrix(P, (7, 15))
    for image in range(2):
        np.testing.assert_allclose(down[image].reshape(-1, 2), R @ x[image].reshape(-1, 2), atol=1e-12)
        np.testing.assert_allclose(up[image].reshape(-1, 2), R.T @ y[image].reshape(-1, 2), atol=1e-12)


@pytest.mark.parametrize(
    ("A", "transfer", "coarsening", "shapes"),
    [
        (jumping(), "black_box", "full", [(15, 15), (7, 7), (3, 3), (1, 1)]),
        (anisotropic(0.1), "full_weighting", "strong", [(15, 15), (7, 15), (3, 15), (1, 7), (1, 3), (1, 1)]),
        (anisotropic(1000.0), "black_box", "strong", [(15, 15), (15, 7), (15, 3), (15, 1), (7, 1), (3, 1), (1, 1)]),
    ],
)
def test_coarse_operators_are_products_of_sparse_matrices(A, transfer, coarsening, shapes):
    grids = hierarchy(A, 15, None, transfer, "galerkin", coarsening)
    assert [grid.shape for grid in grids] == shapes
    for grid, coarser in itertools.pairwise(grids):
        R, P = (restriction_matrix(kernels, grid.shape) for kernels in grid.transfer)
        product = R @ operator_matrix(grid.A, grid.shape) @ P.T
        np.testing.assert_allclose(
            operator_matrix(coarser.A, coarser.shape).toarray(), product.toarray(), atol=1e-12 * abs(product).max()
        )


@pytest.mark.parametrize(
    "options",
    [
        {"A": jumping(), "transfer": "black_box", "coarse": "galerkin"},
        {"A": anisotropic(0.01), "coarsening": "strong", "coarse": "galerkin"},
    ],
    ids=["black box", "strong coarsening"],
)
def test_a_cycle_is_that_of_sparse_matrices(options):
    pytest.importorskip("pyamg")
    u, f = np.random.default_rng(0).normal(size=(2, 1, 15, 15, 1))
    expected = pyamg_solver(15, **options).solve(f.ravel(), x0=u.ravel(), maxiter=1, tol=1e-300)
    computed = solver(15, **options, smoother="jacobi")([tensor(u), tensor(f)]).numpy()
    np.testing.assert_allclose(computed.ravel(), expected, atol=1e-11 * np.abs(expected).max())


def block(n, contrast=1000.0):
    a = np.ones((n + 1, n + 1))
    a[n // 3 : n - n // 3 + 1, n // 3 : n - n // 3 + 1] = contrast
    return diffusion(a)


def test_interpolation_by_the_operator_repairs_a_block():
    """Red-black Gauss-Seidel, V(1,1): the same problem has the factor 0.99 with bilinear interpolation."""
    model = solver(15, A=block(15), smoother="red_black", transfer="black_box", coarse="galerkin")
    assert convergence_factor(model, 15) < 0.15


@pytest.mark.parametrize("eps", [1e-3, 1e3])
def test_strong_coarsening_repairs_anisotropy(eps):
    """Red-black Gauss-Seidel, V(1,1): with grids of half the points per side the factor is 0.92."""
    options = {"coarsening": "strong", "coarse": "galerkin", "smoother": "red_black"}
    assert convergence_factor(solver(15, A=anisotropic(eps), **options), 15) < 0.05


def test_couplings_of_a_coarser_field_are_those_in_series():
    """If a changes only along x, eliminating every second point of a row leaves half of the harmonic mean."""
    a = np.random.default_rng(0).uniform(1, 1000, 16)
    fine = diffusion(np.broadcast_to(a, (16, 16)))
    row = np.diag(a[:-1] + a[1:]) - np.diag(a[1:-1], 1) - np.diag(a[1:-1], -1)
    kept, lost = np.arange(1, 15, 2), np.arange(0, 15, 2)
    left = row[np.ix_(kept, kept)] - row[np.ix_(kept, lost)] @ np.linalg.solve(
        row[np.ix_(lost, lost)], row[np.ix_(lost, kept)]
    )
    coarse = rediscretised_field(fine)
    np.testing.assert_allclose(coarse[3, :-1, 1, 2], 2 * np.diag(left, 1), rtol=1e-10)
    np.testing.assert_allclose(coarse.sum((-2, -1)), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transfer": "black_box", "coarse": "rediscretised"}, "expected coarse='galerkin' with transfer='black_box'"),
        ({"coarsening": "strong", "coarse": "rediscretised"}, "expected coarse='galerkin' with coarsening='strong'"),
        ({"coarsening": "strong", "coarse": "galerkin", "transfer": "fem"}, "expected full_weighting or black_box"),
        ({"transfer": "blackbox"}, "unknown transfer 'blackbox'; did you mean 'black_box'"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        solver(7, **options)


def test_a_transfer_needs_a_kernel_of_three_points():
    with pytest.raises(ValueError, match=r"expected a kernel of size \(3, 3\), \(3, 1\) or \(1, 3\)"):
        StencilFieldTransfer((2, 2))
