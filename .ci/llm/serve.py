# SPDX-License-Identifier: Apache-2.0
"""Serves a GGUF file with llama.cpp's own HTTP server on a free port of
loopback, prints its address, and ends when its standard input does."""
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.n_gpu_layers = 24576, 1, 0
params.cpuparams.n_threads = 2
params.use_jinja, params.warmup = True, False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
