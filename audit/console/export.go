// SPDX-License-Identifier: Apache-2.0

package console

// This file: what a question found as a file.

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/export"
	"github.com/sepsisagent/sepsisagent/audit/query"
)

// maxExport is how many records one file may have: it is made in memory, whole or
// not at all.
const maxExport = 1000

var formatWords = map[export.Format]string{
	export.CSV: "CSV", export.NDJSON: "NDJSON", export.Parquet: "Parquet", export.FHIR: "FHIR AuditEvent and Provenance", export.HTI1: "HTI-1 feedback",
}

// fileKinds are content type and name of a file.
var fileKinds = map[export.Format][2]string{
	export.CSV: {"text/csv; charset=utf-8", "audit.csv"}, export.NDJSON: {"application/x-ndjson", "audit.ndjson"},
	export.Parquet: {"application/vnd.apache.parquet", "audit.parquet"}, export.FHIR: {"application/fhir+ndjson", "audit-fhir.ndjson"},
	export.HTI1: {"text/csv; charset=utf-8", "audit-hti1.csv"},
}

// export sends a file.
func (c *Console) export(ctx context.Context, v *visit) (answer, error) {
	values := v.r.URL.Query()
	format := export.Format(values.Get("format"))
	if !slices.Contains(export.Formats(), format) {
		return answer{}, fmt.Errorf("%w: one of %v", export.ErrFormat, export.Formats())
	}
	values.Del("format")
	v.r.URL.RawQuery = url.Values(values).Encode()
	q, _, err := c.asked(v)
	v.reading.What = map[string]any{"format": format, "question": q}
	if err != nil {
		return answer{}, err
	}
	if v.reading.Reason, err = c.mayAsk(v, q); err != nil {
		return answer{}, err
	}
	v.reading.Patient = q.Patient
	q.OldestFirst, q.Limit, q.Cursor = true, audit.MaxLimit, ""
	var ids []string
	for {
		page, err := query.Run(ctx, c.Log, q)
		if err != nil {
			return answer{}, err
		}
		for _, e := range page.Entries {
			ids = append(ids, e.Index.ID)
		}
		if len(ids) > maxExport {
			return answer{}, fmt.Errorf("%w: more than %d records (hint: narrow the question, or run `sepsisagent audit export`)", query.ErrQuestion, maxExport)
		}
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
	}
	var out bytes.Buffer
	if v.reading.Found, err = export.Write(&out, format, export.Site{Log: c.Log.Verifier().Name(), URL: c.Chart().PublicURL}, c.events(ctx, ids)); err != nil {
		return answer{}, err
	}
	return answer{body: out.Bytes(), kind: fileKinds[format][0], file: fileKinds[format][1]}, nil
}

// events reads the records.
func (c *Console) events(ctx context.Context, ids []string) func(func(export.Event, error) bool) {
	return func(yield func(export.Event, error) bool) {
		for _, id := range ids {
			record, err := c.Log.Get(ctx, id)
			var e export.Event
			if err == nil {
				e, err = export.Read(record)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
