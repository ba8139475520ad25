# SPDX-License-Identifier: Apache-2.0
"""Independent forward pass of the published networks, and small files as
torch.save writes them.

Writes reference.json (results of both networks on two windows) and tiny.pt (a
state dictionary of five small tensors), fixtures of the tests of the reference
kind. Weights and inputs follow a formula that the tests repeat, so the fixture
holds results only. Needs NumPy; with PyTorch installed it also checks itself
against torch.nn.GRU and writes tiny.pt with torch.save. Run it in this folder:
python3 reference.py
"""
import collections
import io
import json
import pickle
import struct
import sys
import zipfile

import numpy as np

try:
    import torch
except ImportError:
    torch = None

F, MASKS, STATICS, ACTIONS, EMBED, HIDDEN, HEAD = 39, 38, 3, 10, 32, 128, 64
INPUTS = F + MASKS + 2 * EMBED


def shapes(dynamics):
    """Names and shapes of a published state dictionary, in its order."""
    out = [("static_embed", EMBED, STATICS), ("act_embed", EMBED, ACTIONS)]
    names = []
    for n, a, b in out:
        names += [(n + ".weight", (a, b)), (n + ".bias", (a,))]
    for layer, size in ((0, INPUTS), (1, HIDDEN)):
        names += [(f"gru.weight_ih_l{layer}", (3 * HIDDEN, size)), (f"gru.weight_hh_l{layer}", (3 * HIDDEN, HIDDEN)),
                  (f"gru.bias_ih_l{layer}", (3 * HIDDEN,)), (f"gru.bias_hh_l{layer}", (3 * HIDDEN,))]
    if dynamics:
        heads = [("vent_head.0", HEAD, HIDDEN), ("vent_head.2", 1, HEAD), ("trans_pre.0", HIDDEN, HIDDEN + 1),
                 ("mu_head", F, HIDDEN), ("log_sigma_head", F, HIDDEN)]
    else:
        heads = [("outcome_head.0", HEAD, HIDDEN), ("outcome_head.3", 1, HEAD)]
    for n, a, b in heads:
        names += [(n + ".weight", (a, b)), (n + ".bias", (a,))]
    return names


def weights(dynamics):
    """Every tensor from one formula: entry i of tensor t is
    0.12 sin(1 + 0.7 t + 0.37 i + 0.0013 (i mod 101)^2)."""
    out = collections.OrderedDict()
    for t, (name, shape) in enumerate(shapes(dynamics)):
        i = np.arange(int(np.prod(shape)), dtype=np.float64)
        v = 0.12 * np.sin(1 + 0.7 * t + 0.37 * i + 0.0013 * (i % 101) ** 2)
        out[name] = v.astype(np.float32).astype(np.float64).reshape(shape)
    return out


def inputs(steps, real):
    """Values, masks, statics and actions of a window of which the last `real`
    steps are there; the rows before are zero."""
    obs, mask, act = np.zeros((steps, F)), np.zeros((steps, MASKS)), np.zeros((steps, ACTIONS))
    for t in range(steps - real, steps):
        obs[t] = np.float32(1.5 * np.sin(0.9 * t + 0.41 * np.arange(F)))
        mask[t] = (np.arange(MASKS) + t) % 3 == 0
        act[t, t % 5] = 1
        act[t, 5 + (2 * t + 1) % 5] = 1
    return obs, mask, np.array([0.5, 1.0, 0.0]), act


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def encode(w, obs, mask, stat, act):
    e = w["static_embed.weight"] @ stat + w["static_embed.bias"]
    seq = [np.concatenate([o, m, e, w["act_embed.weight"] @ a + w["act_embed.bias"]]) for o, m, a in zip(obs, mask, act)]
    for layer in (0, 1):
        h, out = np.zeros(HIDDEN), []
        for x in seq:
            gx = w[f"gru.weight_ih_l{layer}"] @ x + w[f"gru.bias_ih_l{layer}"]
            gh = w[f"gru.weight_hh_l{layer}"] @ h + w[f"gru.bias_hh_l{layer}"]
            r = sigmoid(gx[:HIDDEN] + gh[:HIDDEN])
            z = sigmoid(gx[HIDDEN:2 * HIDDEN] + gh[HIDDEN:2 * HIDDEN])
            n = np.tanh(gx[2 * HIDDEN:] + r * gh[2 * HIDDEN:])
            h = (1 - z) * n + z * h
            out.append(h)
        seq = out
    return seq[-1], np.array(seq)


def dense(w, name, x):
    return w[name + ".weight"] @ x + w[name + ".bias"]


def dynamics(w, *window):
    h, _ = encode(w, *window)
    vent = dense(w, "vent_head.2", np.maximum(dense(w, "vent_head.0", h), 0))
    pre = np.maximum(dense(w, "trans_pre.0", np.concatenate([h, sigmoid(vent)])), 0)
    return dense(w, "mu_head", pre), dense(w, "log_sigma_head", pre), vent[0]


def outcome(w, *window):
    h, _ = encode(w, *window)
    return dense(w, "outcome_head.3", np.maximum(dense(w, "outcome_head.0", h), 0))[0]


def check_with_torch():
    """The encoder above against torch.nn.GRU."""
    w, window = weights(True), inputs(6, 6)
    gru = torch.nn.GRU(INPUTS, HIDDEN, num_layers=2, batch_first=True)
    gru.load_state_dict({k[4:]: torch.tensor(v) for k, v in w.items() if k.startswith("gru.")})
    obs, mask, stat, act = window
    e = w["static_embed.weight"] @ stat + w["static_embed.bias"]
    a = act @ w["act_embed.weight"].T + w["act_embed.bias"]
    x = np.concatenate([obs, mask, np.tile(e, (6, 1)), a], axis=1)
    with torch.no_grad():
        got, _ = gru.double()(torch.tensor(x)[None])
    assert np.abs(got[0].numpy() - encode(w, *window)[1]).max() < 1e-12, "the encoder differs from torch.nn.GRU"
    print("encoder equals torch.nn.GRU of PyTorch", torch.__version__)


class Global:
    """A name that pickles as a reference to it, as torch's own functions do."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Tensor:
    def __init__(self, key, count, offset, shape, stride):
        self.args = (key, count, offset, shape, stride)


class TorchPickler(pickle._Pickler):
    """Python's own pickler, writing what torch.save writes for a tensor."""

    def persistent_id(self, obj):
        if isinstance(obj, tuple) and len(obj) == 5 and obj[0] == "storage":
            return obj
        return None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(b"c" + obj.module.encode() + b"\n" + obj.name.encode() + b"\n")
            return None
        if isinstance(obj, Tensor):
            key, count, offset, shape, stride = obj.args
            self.save(Global("torch._utils", "_rebuild_tensor_v2"))
            self.write(pickle.MARK)
            storage = ("storage", Global("torch", "FloatStorage"), key, "cpu", count)
            self.write(pickle.MARK)
            for part in storage:
                self.save(part)
            self.write(pickle.TUPLE + pickle.BINPERSID)
            for part in (offset, shape, stride, False, collections.OrderedDict()):
                self.save(part)
            self.write(pickle.TUPLE + pickle.REDUCE)
            return None
        return super().save(obj, save_persistent_id)


def write_tiny(name):
    """Two whole tensors and two views of one storage, the second turned."""
    if torch is not None:
        shared = torch.arange(24, dtype=torch.float32)
        state = collections.OrderedDict(whole=torch.arange(6, dtype=torch.float32).reshape(2, 3) / 8,
                                        bias=-torch.arange(1, 5, dtype=torch.float32),
                                        first=shared[:12].reshape(3, 4), turned=shared[12:].reshape(4, 3).t())
        state._metadata = collections.OrderedDict({"": {"version": 1}})
        torch.save(state, name)
        return "torch.save"
    state = collections.OrderedDict([("whole", Tensor("0", 6, 0, (2, 3), (3, 1))), ("bias", Tensor("1", 4, 0, (4,), (1,))),
                                     ("first", Tensor("2", 24, 0, (3, 4), (4, 1))), ("turned", Tensor("2", 24, 12, (3, 4), (1, 3)))])
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    buf = io.BytesIO()
    TorchPickler(buf, protocol=2).dump(state)
    i = np.arange(24, dtype="<f4")
    with zipfile.ZipFile(name, "w", zipfile.ZIP_STORED) as z:
        for entry, data in (("data.pkl", buf.getvalue()), ("byteorder", b"little"), ("data/0", (i[:6] / 8).tobytes()),
                            ("data/1", (-i[1:5]).tobytes()), ("data/2", i.tobytes()), ("version", b"3\n")):
            z.writestr(zipfile.ZipInfo("tiny/" + entry, (1980, 1, 1, 0, 0, 0)), data)
    return "Python's pickle"


def main():
    if torch is not None:
        check_with_torch()
    result = {"dynamics": [], "outcome": []}
    for real in (6, 2):
        mu, log_sigma, vent = dynamics(weights(True), *inputs(6, real))
        result["dynamics"].append({"real": real, "mu": mu.tolist(), "log_sigma": log_sigma.tolist(), "vent_logit": vent})
    for real in (12, 5):
        result["outcome"].append({"real": real, "logit": outcome(weights(False), *inputs(12, real))})
    text = json.dumps(result, default=float)
    with open("reference.json", "w") as out:
        json.dump(json.loads(text, parse_float=lambda v: round(float(v), 9)), out, indent=0)
        out.write("\n")
    print("tiny.pt written by", write_tiny("tiny.pt"))
    assert struct.calcsize("<f") == 4 and sys.byteorder == "little"


if __name__ == "__main__":
    main()
