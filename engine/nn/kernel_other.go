// SPDX-License-Identifier: Apache-2.0

//go:build !amd64 || noasm

package nn

// This file: the kernels where there is no assembly for them.

const vectorised = false

func product(m, n, k int, a []float32, ai, al int, b []float32, ldb int, c []float32, ldc int) {
	productGo(m, n, k, a, ai, al, b, ldb, c, ldc)
}

func logistic(y, x []float32, c *logisticConstants) { logisticGo(y, x, c) }

func stepBack(n int, gates, fresh, before, d, dx, dp []float32) {
	stepBackGo(0, n, gates, fresh, before, d, dx, dp)
}

func adam(theta, grad, m, v []float32, c *adamConstants) { adamGo(theta, grad, m, v, c) }
