# SPDX-License-Identifier: Apache-2.0
"""How long PyTorch takes for what the benchmarks of the reference kind time:
one training step of 256 windows of 6 steps, and forward passes of 1, 25 and 256,
on one thread, with networks of the published shape. Compare, on one machine:

    OMP_NUM_THREADS=1 python3 engine/world/testdata/speed.py
    go test ./engine/world -run xxx -bench 'ReferenceTrainingStep|ReferenceWhatIf' -cpu 1

Values are random: only the time is of interest.
"""
import time

import torch
import torch.nn as nn

torch.set_num_threads(1)
FEATURES, MASKS, STATICS, ACTIONS, EMBED, HIDDEN, HEAD = 39, 38, 3, 10, 32, 128, 64
BATCH, STEPS = 256, 6


class Dynamics(nn.Module):
    def __init__(self):
        super().__init__()
        self.statics, self.actions = nn.Linear(STATICS, EMBED), nn.Linear(ACTIONS, EMBED)
        self.gru = nn.GRU(FEATURES + MASKS + 2 * EMBED, HIDDEN, 2, batch_first=True, dropout=0.1)
        self.vent = nn.Sequential(nn.Linear(HIDDEN, HEAD), nn.ReLU(), nn.Linear(HEAD, 1))
        self.pre = nn.Sequential(nn.Linear(HIDDEN + 1, HIDDEN), nn.ReLU(), nn.Dropout(0.1))
        self.mu, self.log_sigma = nn.Linear(HIDDEN, FEATURES), nn.Linear(HIDDEN, FEATURES)

    def forward(self, values, masks, statics, actions):
        wide = self.statics(statics).unsqueeze(1).expand(-1, values.shape[1], -1)
        hidden, _ = self.gru(torch.cat([values, masks, wide, self.actions(actions)], -1))
        vent = self.vent(hidden[:, -1])
        last = self.pre(torch.cat([hidden[:, -1], torch.sigmoid(vent)], -1))
        return vent, self.mu(last), self.log_sigma(last).clamp(-5, 2)


def best_ms(do, times, rounds=10):
    """The least mean time of several rounds, ms."""
    out = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            do()
        out.append((time.perf_counter() - start) / times * 1e3)
    return min(out)


net = Dynamics()
adam = torch.optim.Adam(net.parameters(), 1e-3)
window = (torch.randn(BATCH, STEPS, FEATURES), torch.rand(BATCH, STEPS, MASKS).round(), torch.randn(BATCH, STATICS),
          torch.rand(BATCH, STEPS, ACTIONS).round())
target, on = torch.randn(BATCH, FEATURES), torch.rand(BATCH, 1).round()


def train():
    adam.zero_grad()
    vent, mu, log_sigma = net(*window)
    loss = (0.5 * ((target - mu) / log_sigma.exp()) ** 2 + log_sigma).mean()
    (loss + nn.functional.binary_cross_entropy_with_logits(vent, on)).backward()
    adam.step()


print(f"PyTorch {torch.__version__}, one thread")
print(f"training step of {BATCH}: {best_ms(train, 10):.1f} ms")
net.eval()
with torch.no_grad():
    for n in (1, 25, 256):
        some = [part[:n] for part in window]
        print(f"forward of {n}: {best_ms(lambda: net(*some), 20):.2f} ms")
