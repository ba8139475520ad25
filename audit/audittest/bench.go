// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: what a receipt costs, alone and with many callers at once.

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// Bench appends receipts of 4 KiB, and of 24 and 40 KiB as those of calls that
// decide are, packed. It reports receipts a second and the middle and the slowest
// hundredth of what callers waited.
func Bench(b *testing.B, place func(testing.TB) Place) {
	for _, kib := range []int{4, 24, 40} {
		for _, callers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%dKiB/callers=%d", kib, callers), func(b *testing.B) { bench(b, place, kib<<10, callers) })
		}
	}
}

func bench(b *testing.B, place func(testing.TB) Place, size, callers int) {
	h := newHouse(b, place)
	body := make([]byte, size)
	if _, err := rand.Read(body); err != nil { // packed bytes cannot be packed again
		b.Fatal(err)
	}
	waited := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				e := Entry(i % 100_000)
				e.Index.ID, e.Body = fmt.Sprintf("id-%d", i), body
				began := time.Now()
				if _, err := h.Append(b.Context(), e); err != nil {
					b.Error(err)
					return
				}
				waited[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(waited)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "receipts/s")
	b.ReportMetric(float64(waited[len(waited)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waited[len(waited)*99/100].Microseconds())/1000, "p99-ms")
	if r, err := h.Place.Verify(b.Context(), sqllog.Options{Verifier: h.key.Verifier()}, nil); err != nil || !r.OK || r.Size != int64(b.N) {
		b.Fatalf("report %+v, error %v", r, err)
	}
}
