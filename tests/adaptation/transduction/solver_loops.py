"""The solvers once more, as plain loops and dense algebra over the equations: slow, and independent of the package."""

import math

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, iv


def softmax(values):
    shifted = np.exp(values - values.max())
    return shifted / shifted.sum()


def answers(f, t, scale):
    return np.stack([softmax(np.array([scale * (x @ c) for c in t])) for x in f])


def neighbors(f, k):
    """W: the cosine with the k nearest others."""
    w = np.zeros((len(f), len(f)))
    for i in range(len(f)):
        others = sorted((j for j in range(len(f)) if j != i), key=lambda j: -(f[i] @ f[j]))
        for j in others[:k]:
            w[i, j] = max(f[i] @ f[j], 0)
    return w


def shares(z, prior):
    if prior == "estimated":
        return (z.sum(0) + 1 / z.shape[1]) / (len(z) + 1)
    return np.full(z.shape[1], 1 / z.shape[1]) if prior == "uniform" else np.array(prior) / np.sum(prior)


def transclip(f, t, scale, prior="uniform", weight=1.0, k=3, confident=8, tau=50.0, rounds=10, sweeps=5):
    (n, d), c = f.shape, len(t)
    y, w = answers(f, t, scale), neighbors(f, k)
    z = y.copy()
    mu = np.stack([f[np.argsort(-y[:, j], kind="stable")[:confident]].mean(0) for j in range(c)])
    mu /= np.linalg.norm(mu, axis=1, keepdims=True)
    var = np.full(d, 1 / d)
    for _ in range(rounds):
        pi = shares(z, prior)
        for _ in range(sweeps):
            new = np.zeros_like(z)
            for i in range(n):
                likelihood = np.array([-(((f[i] - mu[j]) ** 2) / var).sum() / 2 for j in range(c)])
                pull = sum((w[i, j] + w[j, i]) * z[j] for j in range(n)) * tau / (2 * k)
                new[i] = softmax(weight * np.log(y[i]) + np.log(pi) + (likelihood + pull) / tau)
            z = new
        mu = np.stack([sum(z[i, j] * f[i] for i in range(n)) for j in range(c)])
        mu /= np.linalg.norm(mu, axis=1, keepdims=True)
        var = sum(z[i, j] * (f[i] - mu[j]) ** 2 for i in range(n) for j in range(c)) / n
    return z


def stata(f, t, scale, prior="uniform", anchor=1.0, k=3, tau=50.0, rounds=10, sweeps=5):
    n, c = len(f), len(t)
    y, w = answers(f, t, scale), neighbors(f, k)
    z = y.copy()
    first = sum(y[i, j] * (f[i] - t[j]) ** 2 for i in range(n) for j in range(c)) / n
    mu, var = t.copy(), np.stack([first] * c)
    for _ in range(rounds):
        pi = shares(z, prior)
        for _ in range(sweeps):
            new = np.zeros_like(z)
            for i in range(n):
                likelihood = [-np.log(var[j]).sum() / 2 - ((f[i] - mu[j]) ** 2 / var[j]).sum() / 2 for j in range(c)]
                pull = sum((w[i, j] + w[j, i]) * z[j] for j in range(n)) / (2 * k)
                new[i] = softmax(np.log(y[i] * pi) + np.array(likelihood) / tau + pull)
            z = new
        best = z.argmax(1)
        for j in range(c):
            b = (best == j).sum() / ((best == j).sum() + anchor)
            v = sum(z[i, j] * f[i] for i in range(n)) / z[:, j].sum()
            mu[j] = b * v / np.linalg.norm(v) + (1 - b) * t[j]
            mu[j] /= np.linalg.norm(mu[j])
            own = sum(z[i, j] * (f[i] - mu[j]) ** 2 for i in range(n)) / z[:, j].sum()
            var[j] = b * own + (1 - b) * (first + (t[j] - mu[j]) ** 2)
    return z


def moon(f, t, scale, prior="uniform", k=3, rounds=10):
    (n, d), c = f.shape, len(t)
    y, w = answers(f, t, scale), neighbors(f, k)
    z = y.copy()
    alpha = [1 / math.sqrt(y[:, j].mean() * y[:, j].max()) for j in range(c)]
    mu = t.copy()
    r = [1 - sum(y[i, j] * ((f[i] - t[j]) ** 2).sum() for i in range(n)) / (2 * y[:, j].sum()) for j in range(c)]
    for _ in range(rounds):
        kappa = [(d * x - x**3) / (1 - x**2) for x in r]
        constant = [(d / 2 - 1) * math.log(q) - math.log(iv(d / 2 - 1, q)) for q in kappa]
        pi, new = shares(z, prior), np.zeros_like(z)
        for i in range(n):
            likelihood = np.array([kappa[j] * (mu[j] @ f[i]) + constant[j] for j in range(c)])
            new[i] = softmax(np.log(y[i] * pi) + likelihood + sum(w[i, j] * z[j] for j in range(n)))
        z = new
        gamma = [1 + sum(p * math.log(p) for p in row if p > 0) / math.log(c) for row in z]
        for j in range(c):
            count = sum(gamma[i] for i in range(n) if z[i].argmax() == j)
            b = count / (count + alpha[j])
            v = sum(gamma[i] * z[i, j] * f[i] for i in range(n)) / sum(gamma[i] * z[i, j] for i in range(n))
            m = b * v + (1 - b) * t[j]
            r[j] = np.linalg.norm(m)
            mu[j] = m / r[j]
    return z


def zlap(f, t, scale, prior="uniform", k=4, k_text=5, gamma=5.0, alpha=0.3):
    n, c = len(f), len(t)
    w = np.zeros((n + c, n + c))
    w[:n, :n] = neighbors(f, k)
    for i in range(n):
        for j in sorted(range(c), key=lambda j: -(f[i] @ t[j]))[:k_text]:
            w[i, n + j] = max(f[i] @ t[j], 0) ** gamma
    a = w + w.T
    degree = a.sum(1)
    laplacian = np.eye(n + c) - alpha * a / np.sqrt(np.outer(degree, degree))
    s = np.linalg.inv(laplacian)[:n, n:] * shares(answers(f, t, scale), prior)
    return s / s.sum(1, keepdims=True)


def em_dirichlet(f, t, scale, hard=False, partition=None, sharpness=0.3, rounds=20, steps=50):
    c = len(t)
    q = answers(f, t, sharpness * scale)
    u, alpha = q.copy(), np.ones((c, c))
    weight = c // 5 if partition is None else partition
    for _ in range(rounds):
        for j in range(c):
            mean = sum(u[i, j] * np.log(q[i] + 1e-15) for i in range(len(f))) / u[:, j].sum()
            for _ in range(steps):
                alpha[j] = majorized(mean, alpha[j])
        pi, new = u.mean(0), np.zeros_like(u)
        for i in range(len(f)):
            values = np.array([log_dirichlet(q[i], alpha[j]) + weight * math.log(pi[j] + 1e-15) for j in range(c)])
            new[i] = np.eye(c)[values.argmax()] if hard else softmax(values)
        u = new
    return u


def log_dirichlet(q, alpha):
    return gammaln(alpha.sum()) - gammaln(alpha).sum() + ((alpha - 1) * np.log(q + 1e-15)).sum()


def majorized(mean, beta):
    """The least of the bound that touches the negative log-likelihood at beta, by bisection on its slope."""
    found = []
    for b, s in zip(beta, mean, strict=True):
        curve = 2 * (gammaln(1) - gammaln(b + 1) + digamma(b + 1) * b) / b**2
        low, high = 1e-12, 1e6
        for _ in range(200):
            a = (low + high) / 2
            slope = digamma(b + 1) + curve * (a - b) - 1 / a - digamma(beta.sum()) - s
            low, high = (a, high) if slope < 0 else (low, a)
        found.append(a)
    return np.array(found)


def likeliest(mean, start):
    """Parameters of the Dirichlet distribution under which a mean of log q is likeliest."""

    def loss(log_alpha):
        alpha = np.exp(log_alpha)
        return gammaln(alpha).sum() - gammaln(alpha.sum()) - ((alpha - 1) * mean).sum()

    return np.exp(minimize(loss, np.log(start), method="BFGS", options={"gtol": 1e-9}).x)


def gpua(f, t, scale, prior="estimated", share=0.9, temperature=0.01, rounds=10, vision=None):
    z, c = (f if vision is None else vision), len(t)
    p = answers(f, t, scale)
    for _ in range(rounds):
        means = np.stack([sum(p[i, k] * z[i] for i in range(len(f))) for k in range(c)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        wanted = shares(p, prior) * len(f)
        r = np.array([[(1 - share) * z[i] @ means[k] + share * f[i] @ t[k] for k in range(c)] for i in range(len(f))])
        p = np.exp((r - r.max(1, keepdims=True)) / temperature)
        for _ in range(50):
            p = p * (wanted / p.sum(0))
            p = p / p.sum(1, keepdims=True)
    u, _, v = np.linalg.svd(z.T @ p @ t, full_matrices=False)
    return answers(z @ u @ v, t, scale)
