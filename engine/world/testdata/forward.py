# SPDX-License-Identifier: Apache-2.0
"""Independent forward pass of one member of the native world model.

Writes forward.json, the fixture of TestForwardPassEqualsAnIndependentImplementation.
Weights, inputs and doses follow a formula that the test repeats, so the fixture
holds results only. Needs NumPy; run it in this folder: python3 forward.py
"""
import json
import numpy as np

F, H, PER = 39, 6, 9                     # features, steps, inputs of a feature
TREAT, GLOBAL = 6 * 4, 11                # inputs of treatment history, of no feature
INPUTS = F * PER + TREAT + GLOBAL
OUTPUTS = 2 * H * F + H + 2 * H + 25 + 1
HIDDEN, EFFECT = 5, 4
SYS, DIA, MEAN = 1, 2, 3
CONTEXT_FEATURES = [0, 1, 2, 3, 4, 5, 6, 26, 30, 14, 21, 23, 29, 7, 31, 16, 10, 38]
GAP = F * PER
CONTEXT = [f * PER for f in CONTEXT_FEATURES]
for step in range(3):
    CONTEXT += [GAP + 4 * step, GAP + 4 * step + 2]
CONTEXT += [GAP + TREAT + 4, GAP + TREAT + 0, GAP + TREAT + 3, GAP + TREAT + 5]
C = len(CONTEXT)


def wave(n, phase):
    return np.sin(0.37 * np.arange(n) + phase)


shapes = [(INPUTS, HIDDEN), (1, HIDDEN), (HIDDEN, HIDDEN), (1, HIDDEN), (HIDDEN, OUTPUTS), (1, OUTPUTS),
          (F * PER, H), (C, EFFECT), (1, EFFECT), (EFFECT, 3 * F), (1, 3 * F), (3, F)]
theta = 0.3 * wave(sum(a * b for a, b in shapes), 1.0)
parts, at = [], 0
for a, b in shapes:
    parts.append(theta[at:at + a * b].reshape(a, b))
    at += a * b
w1, b1, w2, b2, w3, b3, own, g1, c1, g2, c2, memory = parts
x = wave(INPUTS, 2.0)
sigmoid = lambda v: 1 / (1 + np.exp(-v))
silu = lambda v: v * sigmoid(v)

hidden = silu(silu(x @ w1 + b1[0]) @ w2 + b2[0])
out = hidden @ w3 + b3[0]
change = out[:H * F].reshape(H, F).copy()
for f in range(F):
    change[:, f] += x[f * PER:(f + 1) * PER] @ own[f * PER:(f + 1) * PER]
scale = -4 + 5.5 * sigmoid(out[H * F:2 * H * F].reshape(H, F))
usual = out[2 * H * F + H:2 * H * F + 3 * H].reshape(2, H)
gain = np.tanh(x[CONTEXT] @ g1 + c1[0]) @ g2 + c2[0]
sd = np.full(F, 10.0)
ne_gain = 1.5 * np.tanh(gain[:F])
fluid_gain = 1.5 * np.tanh(gain[F:2 * F])
short_gain = 1.5 * np.tanh(gain[2 * F:])
for f in (SYS, DIA, MEAN):
    ne_gain[f] = (6 + 84 * sigmoid(gain[f])) / sd[f]
    short_gain[f] = 0
keep = 0.9 * sigmoid(memory)
ne_dose = np.array([0.05 * (h + 1) for h in range(H)])
fluid_dose = np.array([250.0 * h for h in range(H)])
dev = [ne_dose / (ne_dose + 0.2) - usual[0], fluid_dose / (fluid_dose + 1000) - usual[1]]
dev[1][3] = 0                            # the fluid of step 3 is unknown
mu = x[0:F * PER:PER] + change


def effect(k, gains):
    drive, out = np.zeros(F), []
    for h in range(H):
        drive = keep[k] * drive + dev[k][h]
        out.append(gains * drive)
    return np.array(out)


def shortfall(z):                        # of a MAP with mean 70 and SD 10
    return 5 * np.log1p(np.exp((65 - 70 - 10 * z) / 5)) / 10


usual_mean = mu[:, MEAN].copy()
mu = mu + effect(0, ne_gain) + effect(1, fluid_gain)
dev.append(shortfall(mu[:, MEAN]) - shortfall(usual_mean))
mu = mu + effect(2, short_gain)

with open("forward.json", "w") as file:
    json.dump({"mu": [round(float(v), 6) for v in mu.ravel()],
               "log_scale": [round(float(v), 6) for v in scale.ravel()],
               "heads": [round(float(v), 6) for v in out[2 * H * F:]]}, file)
    file.write("\n")
