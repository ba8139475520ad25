// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"bytes"
	"compress/flate"
	"errors"
	"testing"
	"time"
)

// FuzzDecodeRecord reads hostile audit bodies: packed text, and bytes as they
// come. They are refused as ErrRecord, or can be written and read again.
func FuzzDecodeRecord(f *testing.F) {
	for _, s := range []string{`{"schema":"` + RecordSchema + `","id":"a","kind":"decision","status":200}`, `{}`, `null`, `{"schema":"` + RecordSchema + `","receipt":{"records":[{}]}}`} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, pack bool) {
		body := append([]byte{formFlateJSON}, data...)
		if pack {
			var buf bytes.Buffer
			buf.WriteByte(formFlateJSON)
			w, err := flate.NewWriter(&buf, flate.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			body = buf.Bytes()
		}
		r, err := DecodeRecord(body)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		again, err := EncodeRecord(r)
		if err != nil {
			return // e.g. a raw member that is not JSON
		}
		if _, err := DecodeRecord(again); err != nil {
			t.Fatal(err)
		}
		_ = r.Index(time.Now())
	})
}
