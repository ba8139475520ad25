// SPDX-License-Identifier: Apache-2.0

//go:build !noasm

package nn

// This file: the doors to kernel_amd64.s, used where the processor has AVX2,
// and for large products AVX-512.
// Build with the tag noasm to leave them out.

import "golang.org/x/sys/cpu"

var (
	vectorised = cpu.X86.HasAVX2
	wide       = vectorised && cpu.X86.HasAVX512F
)

//go:noescape
func tile8x32(k int, a *float32, ai, al int, b *float32, ldb int, c *float32, ldc int)

//go:noescape
func tile4x16(k int, a *float32, ai, al int, b *float32, ldb int, c *float32, ldc int)

//go:noescape
func tile4x8(k int, a *float32, ai, al int, b *float32, ldb int, c *float32, ldc int, mask *uint32)

//go:noescape
func tile1x64(k int, a *float32, al int, b *float32, ldb int, c *float32)

//go:noescape
func tile1x8(k int, a *float32, al int, b *float32, ldb int, c *float32, mask *uint32)

//go:noescape
func logistic8(n int, y, x *float32, c *logisticConstants)

//go:noescape
func stepBack8(n, wide int, gates, fresh, before, d, dx, dp *float32)

//go:noescape
func adam8(n int, theta, grad, m, v *float32, c *adamConstants)

// window8 holds the masks of the first 1 to 8 columns: that of n columns
// begins at 8-n.
var window8 = [16]uint32{0: ^uint32(0), 1: ^uint32(0), 2: ^uint32(0), 3: ^uint32(0),
	4: ^uint32(0), 5: ^uint32(0), 6: ^uint32(0), 7: ^uint32(0)}

// product adds a·b to c, where element (i, l) of a lies at i*ai + l*al. Slices
// must cover the m×k, k×n and m×n windows, and m, n, k be at least 1.
func product(m, n, k int, a []float32, ai, al int, b []float32, ldb int, c []float32, ldc int) {
	if !vectorised {
		productGo(m, n, k, a, ai, al, b, ldb, c, ldc)
		return
	}
	rows, cols := 0, 0 // what the widest tiles cover
	if wide && m >= 8 && n >= 32 {
		rows, cols = m&^7, n&^31
		for j := 0; j < cols; j += 32 {
			for i := 0; i < rows; i += 8 {
				tile8x32(k, &a[i*ai], ai, al, &b[j], ldb, &c[i*ldc+j], ldc)
			}
		}
		if cols < n {
			narrow(rows, n-cols, k, a, ai, al, b[cols:], ldb, c[cols:], ldc)
		}
	}
	if rows < m {
		narrow(m-rows, n, k, a[rows*ai:], ai, al, b, ldb, c[rows*ldc:], ldc)
	}
}

// narrow is product with AVX2 alone.
func narrow(m, n, k int, a []float32, ai, al int, b []float32, ldb int, c []float32, ldc int) {
	rows := m - m%4
	for j := 0; j < n && rows > 0; {
		if n-j >= 16 {
			for i := 0; i < rows; i += 4 {
				tile4x16(k, &a[i*ai], ai, al, &b[j], ldb, &c[i*ldc+j], ldc)
			}
			j += 16
			continue
		}
		w := min(8, n-j)
		for i := 0; i < rows; i += 4 {
			tile4x8(k, &a[i*ai], ai, al, &b[j], ldb, &c[i*ldc+j], ldc, &window8[8-w])
		}
		j += w
	}
	for i := rows; i < m; i++ {
		for j := 0; j < n; {
			if n-j >= 64 {
				tile1x64(k, &a[i*ai], al, &b[j], ldb, &c[i*ldc+j])
				j += 64
				continue
			}
			w := min(8, n-j)
			tile1x8(k, &a[i*ai], al, &b[j], ldb, &c[i*ldc+j], &window8[8-w])
			j += w
		}
	}
}

// logistic applies c to x and writes y.
func logistic(y, x []float32, c *logisticConstants) {
	n := 0
	if vectorised {
		if n = len(x) &^ 7; n > 0 {
			logistic8(n, &y[0], &x[0], c)
		}
	}
	logisticGo(y[n:], x[n:], c)
}

// stepBack is stepBackGo.
func stepBack(n int, gates, fresh, before, d, dx, dp []float32) {
	from := 0
	if vectorised && n >= 8 {
		from = n &^ 7
		var h *float32
		if before != nil {
			h = &before[0]
		}
		_, _, _, _ = gates[3*n-1], fresh[n-1], dx[3*n-1], dp[3*n-1]
		stepBack8(from, n, &gates[0], &fresh[0], h, &d[0], &dx[0], &dp[0])
	}
	stepBackGo(from, n, gates, fresh, before, d, dx, dp)
}

// adam is adamGo.
func adam(theta, grad, m, v []float32, c *adamConstants) {
	n := 0
	if vectorised {
		if n = len(grad) &^ 7; n > 0 {
			adam8(n, &theta[0], &grad[0], &m[0], &v[0], c)
		}
	}
	adamGo(theta[n:], grad[n:], m[n:], v[n:], c)
}
