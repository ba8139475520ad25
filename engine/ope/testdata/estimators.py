# SPDX-License-Identifier: Apache-2.0
"""Off-policy estimates of small random logs, computed with NumPy from the
textbook formulas on dense padded arrays: an implementation that shares no code
and no layout with package ope. It writes estimators.json beside itself:

    python engine/ope/testdata/estimators.py
"""

import json
import pathlib

import numpy as np


def make_log(rng, n, longest, patients, zero):
    """Random trajectories; a share `zero` of target probabilities is 0."""
    log = []
    for _ in range(n):
        steps = int(rng.integers(1, longest + 1))
        target = rng.uniform(0.05, 1, steps)
        target[rng.uniform(size=steps) < zero] = 0
        log.append({
            "patient": f"p{rng.integers(patients)}",
            "behaviour": rng.uniform(0.1, 1, steps).round(3),
            "target": target.round(3),
            "rewards": rng.normal(size=steps).round(3),
            "q": rng.normal(size=steps).round(3),
            "v": rng.normal(size=steps).round(3),
        })
    return log


def evaluate(log, gamma, horizon, ratio_max, weight_max):
    n = len(log)
    cut = [min(len(e["rewards"]), horizon or 10**9) for e in log]
    longest = max(cut)
    w = np.ones((n, longest + 1))  # column t+1 is w_{0:t}
    r, q, v, alive = (np.zeros((n, longest)) for _ in range(4))
    for i, e in enumerate(log):
        product = 1.0
        for t in range(longest):
            if t < cut[i]:
                ratio = e["target"][t] / e["behaviour"][t]
                product *= min(ratio, ratio_max) if ratio_max else ratio
                r[i, t], q[i, t], v[i, t], alive[i, t] = e["rewards"][t], e["q"][t], e["v"][t], 1
            w[i, t + 1] = min(product, weight_max) if weight_max else product
    discount = gamma ** np.arange(longest)
    returns = (r * discount).sum(1)
    final = w[:, -1]

    def wdr(rows):
        h = max(cut[i] for i in rows)
        u = w[rows][:, : h + 1]
        u = u / u.sum(0)
        now = u[:, 1:] * (r - q)[rows][:, :h] + u[:, :-1] * v[rows][:, :h]
        return (discount[:h] * now).sum()

    def wpdis(rows):
        h = max(cut[i] for i in rows)
        u = w[rows][:, 1 : h + 1]
        return (discount[:h] * (u * r[rows][:, :h]).sum(0) / u.sum(0)).sum()

    def wis(rows):
        return (final[rows] * returns[rows]).sum() / final[rows].sum()

    def by_length(estimate):
        groups = {}
        for i, steps in enumerate(cut):
            groups.setdefault(steps, []).append(i)
        return sum(len(rows) / n * estimate(rows) for rows in groups.values())

    everyone = list(range(n))
    ids = [e["patient"] for e in log]
    theta = wis(everyone)
    clusters = np.array([sum(final[i] * (returns[i] - theta) for i in everyone if ids[i] == p) for p in sorted(set(ids))])
    k = len(clusters)
    return {
        "logged": returns.mean(),
        "is": (final * returns).mean(),
        "wis": theta,
        "pdis": (discount * w[:, 1:] * r).sum(1).mean(),
        "wpdis": wpdis(everyone),
        "wpdis-alive": (discount * (w[:, 1:] * r * alive).sum(0) / (w[:, 1:] * alive).sum(0)).sum(),
        "phwis": by_length(wis),
        "phwpdis": by_length(wpdis),
        "phwdr": by_length(wdr),
        "dm": v[:, 0].mean(),
        "dr": (discount * (w[:, 1:] * (r - q) + w[:, :-1] * v)).sum(1).mean(),
        "wdr": wdr(everyone),
        "ess": (w[:, 1:].sum(0) ** 2 / (w[:, 1:] ** 2).sum(0)).tolist(),
        "wis_se": np.sqrt(k / (k - 1) * (clusters**2).sum()) / final.sum(),
    }


def main():
    rng = np.random.default_rng(20261122)
    cases = []
    settings = [(1.0, 0, 0, 0), (0.97, 0, 0, 0), (0.99, 3, 0, 0), (1.0, 0, 2.0, 0), (0.9, 0, 0, 3.0), (0.95, 4, 2.5, 4.0)]
    for number, (gamma, horizon, ratio_max, weight_max) in enumerate(settings):
        log = make_log(rng, 40, 6, 17, 0.05 if number % 2 else 0.0)
        want = evaluate(log, gamma, horizon, ratio_max, weight_max)
        cases.append({
            "discount": gamma, "horizon": horizon, "ratio_max": ratio_max, "weight_max": weight_max,
            "log": [{k: x if isinstance(x, str) else x.tolist() for k, x in e.items()} for e in log],
            "want": {k: x if isinstance(x, list) else float(x) for k, x in want.items()},
        })
    assert all(np.isfinite(x).all() for c in cases for x in c["want"].values())
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"numpy": np.__version__, "cases": cases}, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
