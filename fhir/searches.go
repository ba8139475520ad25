// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the searches by which the service itself asks for a key. Unlike
// the published templates they know the time, so they ask for the days that
// can matter and no more.

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxURL is the longest query that is sent as a URL. IIS refuses query strings
// over 2,048 characters unless it is told otherwise; others take 8,000.
const maxURL = 2000

// Days that a search reaches back. What the bedside monitor and the nurses
// chart often is read for the steps, scores and trends of package state, which
// reach back three days and a little; volumes, cultures and doses count from the
// start of a stay. Weights and heights are few, and a height holds for years.
const (
	denseDays  = 5
	sparseDays = 31
)

// pageCount is the page size asked for. Servers with a lower limit send less.
const pageCount = "1000"

// wantTotal asks for the number of matches. Without it HAPI FHIR 8.8 leaves the
// next link out of pages of charts whose resources match two of the asked
// codes, as US Core wants of pulse oximetry, and nothing tells that the rest is
// missing. Servers that give no totals ignore it.
const wantTotal = "accurate"

// search is one read or search of a key.
type search struct {
	kind   string
	id     string // for a read
	params []param
}

type param struct{ name, value string }

// searches are what has to be asked for a key at a time. A zero time sets no
// limits.
func (m *Mapper) searches(w wish, patientID string, now time.Time) []search {
	if w.kind == "Patient" {
		return []search{{kind: w.kind, id: patientID}}
	}
	by := func(days int, more ...param) search {
		q := search{kind: w.kind, params: append([]param{{"patient", patientID}}, more...)}
		if days > 0 && w.date != "" && !now.IsZero() {
			since := now.AddDate(0, 0, -days).UTC().Truncate(time.Hour)
			q.params = append(q.params, param{w.date, "ge" + since.Format(time.RFC3339)})
		}
		q.params = append(q.params, w.params...)
		q.params = append(q.params, param{"_count", pageCount}, param{"_total", wantTotal})
		return q
	}
	a := m.maps.asked()
	switch w.key {
	case KeyVitals:
		var out []search
		for _, part := range []struct {
			days  int
			codes []string
		}{{denseDays, a.dense}, {sparseDays, a.sparse}, {0, a.body}} {
			if len(part.codes) > 0 {
				out = append(out, by(part.days, param{"code", strings.Join(part.codes, ",")}))
			}
		}
		return out
	case KeyLabs:
		return []search{by(sparseDays, param{"code", strings.Join(a.labs, ",")})}
	}
	return []search{by(sparseDays)}
}

// url is the search as a relative URL.
func (q search) url() string {
	if q.id != "" {
		return q.kind + "/" + url.PathEscape(q.id)
	}
	return q.kind + "?" + q.form()
}

// form is the search's parameters, in their order, escaped.
func (q search) form() string {
	var b strings.Builder
	for _, p := range q.params {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value))
	}
	return b.String()
}

// split divides the codes of a search among several whose URLs are no longer
// than most. A search without codes is left whole.
func (q search) split(most int) []search {
	at := slices.IndexFunc(q.params, func(p param) bool { return p.name == "code" })
	if at < 0 || len(q.url()) <= most {
		return []search{q}
	}
	with := func(codes []string) search {
		part := q
		part.params = slices.Clone(q.params)
		part.params[at].value = strings.Join(codes, ",")
		return part
	}
	var out []search
	var codes []string
	for c := range strings.SplitSeq(q.params[at].value, ",") {
		if len(codes) > 0 && len(with(append(codes, c)).url()) > most {
			out, codes = append(out, with(codes)), nil
		}
		codes = append(codes, c)
	}
	return append(out, with(codes))
}
