"""The numerical schemes that the families are: what one iteration computes, its order, and the equation it discretises."""

from typing import NamedTuple


class Method(NamedTuple):
    """One scheme."""

    name: str  # as numerical analysis calls it
    step: str  # one iteration
    order: str  # of consistency, in words where it is no number
    equation: str  # what the iteration discretises or solves


METHODS = {
    "residual_correction": Method(
        "multigrid, residual correction", "u <- u + B(f - A u)", "1 as forward Euler", "A u = f, by u' = B(f - A u)"
    ),
    "damped": Method(
        "multigrid, damped Jacobi",
        "u <- u + s B(f - A u), 0 < s < 1",
        "1 as forward Euler",
        "A u = f, by u' = s B(f - A u)",
    ),
    "chebyshev": Method(
        "multigrid, Chebyshev semi-iteration",
        "u_{n+1} = omega (u_n + B(f - A u_n)) + (1 - omega) u_{n-1}",
        "1 as a linear two-step method",
        "A u = f, by (2 - omega) u' = omega B(f - A u)",
    ),
    "multistep": Method(
        "multigrid, multi-step residual correction",
        "u_{n+1} = sum_j alpha_j (u_j + B(f - A u_j)), sum_j alpha_j = 1",
        "1 as a linear multistep method",
        "A u = f",
    ),
    "polynomial": Method(
        "multigrid, polynomial (Richardson) smoother",
        "u <- u + q(A)(f - A u), I - A q(A) = prod (I - A / z)",
        "1 as forward Euler",
        "A u = f, by u' = q(A)(f - A u)",
    ),
    "vcycle": Method(
        "multigrid V-cycle",
        "u <- u + B(f - A u); u <- u + R^T e, e from the coarse grid for R(f - A u); u <- u + B(f - A u)",
        "1 as forward Euler",
        "A u = f on every grid, by u' = B(f - A u)",
    ),
    "feature_iteration": Method(
        "stationary iteration for the feature",
        "u <- u + B(f - A(u))",
        "1 as forward Euler",
        "A(u) = f, by u' = B(f - A(u))",
    ),
    "reaction_diffusion": Method(
        "forward Euler with steps of its own",
        "u <- u - (K^T psi(K u) + lambda (u - f))",
        "1",
        "u' = -K^T psi(K u) - lambda (u - f), reaction-diffusion",
    ),
    "euler": Method("forward Euler", "x_{n+1} = x_n + f(x_n)", "1", "x' = f(x)"),
    "linear_multistep": Method(
        "linear two-step method", "x_{n+1} = (1 - k) x_n + k x_{n-1} + f(x_n)", "1", "(1 + k) x' = f(x)"
    ),
    "stochastic_euler": Method(
        "Euler-Maruyama",
        "x_{n+1} = x_n + eta_n f(x_n), eta_n ~ Bernoulli(p_n)",
        "1/2 strong, 1 weak",
        "dx = p f dt + (p (1 - p))^(1/2) f dW",
    ),
    "stochastic_two_step": Method(
        "stochastic linear two-step method",
        "x_{n+1} = (1 - k) x_n + k x_{n-1} + eta_n f(x_n), eta_n ~ Bernoulli(p_n)",
        "1/2 strong, 1 weak",
        "(1 + k) dx = p f dt + (p (1 - p))^(1/2) f dW",
    ),
    "shake": Method(
        "Euler-Maruyama",
        "x_{n+1} = x_n + eta f_1(x_n) + (1 - eta) f_2(x_n), eta ~ U(0, 1)",
        "1/2 strong, 1 weak",
        "dx = (f_1 + f_2)/2 dt + 12^(-1/2) (f_1 - f_2) dW",
    ),
    "neumann": Method(
        "backward Euler, its resolvent as a truncated Neumann series",
        "x_{n+1} = x_n + F(x_n) + F(F(x_n)) + ...",
        "1",
        "x' = F(x), by x_{n+1} = (I - F)^{-1} x_n",
    ),
    "runge_kutta": Method(
        "Runge-Kutta",
        "x_{n+1} = k_1 x_n + k_2 y + f_2(y), y = k_3 x_n + f_1(x_n)",
        "2 with k_1 = k_2 = 1/2, k_3 = 1, f_1 = 2 f_2 (Heun)",
        "x' = f_1(x)",
    ),
    "dense": Method(
        "explicit multistep scheme over all states",
        "x_{n+1} = f([x_0, ..., x_n])",
        "none, there is no step size",
        "a recursion with full memory, as multistep iterative methods have",
    ),
    "highway": Method(
        "forward Euler with a gate for the step size",
        "x_{n+1} = x_n + T(x_n) (H(x_n) - x_n)",
        "1",
        "x' = T(x) (H(x) - x)",
    ),
    "euler_sum": Method(
        "forward Euler", "x_{n+1} = x_n + f_1(x_n) + ... + f_k(x_n)", "1", "x' = f_1(x) + ... + f_k(x)"
    ),
    "recurrent": Method(
        "forward Euler, autonomous",
        "x_i <- x_i + K_i1(x_1) + ... + K_iS(x_S)",
        "1",
        "x_i' = sum_j K_ij(x_j), K_ij fixed in time",
    ),
    "coupling": Method(
        "symplectic Euler (additive coupling)",
        "x_1 <- x_1 + F(x_2), x_2 <- x_2 + G(x_1)",
        "1; 2 with x_2 read at half steps",
        "x_1' = F(x_2), x_2' = G(x_1)",
    ),
    "hamiltonian": Method(
        "symplectic Euler",
        "Y <- Y + h K_1^T s(K_1 Z + b_1), Z <- Z - h K_2^T s(K_2 Y + b_2)",
        "1; 2 with Z read at half steps",
        "Y' = K_1^T s(K_1 Z + b_1), Z' = -K_2^T s(K_2 Y + b_2)",
    ),
    "midpoint": Method(
        "explicit midpoint rule, begun by forward Euler",
        "Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b)",
        "2",
        "Y' = s((K - K^T) Y + b)",
    ),
    "leapfrog": Method(
        "leapfrog (Stoermer)",
        "Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b), Y_{-1} = Y_0",
        "2 with Y' read at half steps, else 1",
        "Y'' = -K^T s(K Y + b), Y'(0) = 0",
    ),
    "verlet": Method(
        "Stoermer-Verlet",
        "Z <- Z - h s(K^T Y + b), Y <- Y + h s(K Z + b)",
        "2 with Z read at half steps, else 1",
        "Y' = s(K Z + b), Z' = -s(K^T Y + b)",
    ),
    "antisymmetric": Method(
        "forward Euler, damped",
        "Y <- Y + h s((K - K^T - gamma I) Y / 2 + b)",
        "1",
        "Y' = s((K - K^T - gamma I) Y / 2 + b)",
    ),
}
