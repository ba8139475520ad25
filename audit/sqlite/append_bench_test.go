// SPDX-License-Identifier: Apache-2.0

package sqlite

// This file: what a receipt costs, alone and with many callers at once.

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
)

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			key, _, err := audit.NewKey(nil, "bench")
			if err != nil {
				b.Fatal(err)
			}
			path := filepath.Join(b.TempDir(), "a.db")
			if err := Create(ctx, path, Options{Key: key}); err != nil {
				b.Fatal(err)
			}
			l, err := Open(ctx, path, Options{Key: key})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var n atomic.Int64
			body := make([]byte, 40<<10) // as large as a packed receipt
			b.SetParallelism(callers)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e := entry(int(n.Add(1)))
					e.Index.ID = fmt.Sprintf("id-%d", n.Add(1))
					e.Body = body
					if _, err := l.Append(ctx, e); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
