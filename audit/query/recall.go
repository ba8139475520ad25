// SPDX-License-Identifier: Apache-2.0

package query

// This file: the recall, which lists every patient that a question is about. It
// goes from patient to patient by their index and asks the question of each, so
// that a page costs the same however many entries there are in between.

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Affected is one patient whom a question is about. Clients have patients of
// their own: one id at two clients is two patients.
type Affected struct {
	Patient string    `json:"patient"`
	Client  string    `json:"client"`
	Entries int       `json:"entries"`
	Shown   int       `json:"shown"` // entries in which a card was returned
	First   time.Time `json:"first"` // of those entries
	Last    time.Time `json:"last"`
}

// Recalled is one page of a recall, sorted by patient.
type Recalled struct {
	Patients []Affected `json:"patients"`
	Next     string     `json:"next,omitempty"` // cursor of the next page; empty: there is none
}

// patientsAtOnce is how many patients one page of a recall looks at, at most.
const patientsAtOnce = 50

// Recall answers one page of a recall. Query.Limit is how many patients a page
// has; a page may be short, or empty, and yet have a Next. The order of entries
// plays no part. Errors: ErrQuestion, ErrCursor, or the log's own.
func Recall(ctx context.Context, log Log, q Query) (Recalled, error) {
	cursor := q.Cursor
	q.Cursor, q.OldestFirst = "", true
	out := Recalled{Patients: []Affected{}}
	f, err := q.filter(ctx, log)
	if errors.Is(err, errNothing) {
		return out, nil
	}
	if err != nil {
		return Recalled{}, err
	}
	after, err := q.afterPatient(cursor)
	if err != nil {
		return Recalled{}, err
	}
	if q.Patient != "" {
		if after != "" {
			return Recalled{}, ErrCursor
		}
		out.Patients, err = affected(ctx, log, f)
		return out, err
	}
	size := f.PageSize()
	patients, err := log.Values(ctx, "patient", "", after, patientsAtOnce)
	if err != nil {
		return Recalled{}, err
	}
	for i, p := range patients {
		f.Patient, f.After, f.Limit = p, nil, 0
		found, err := affected(ctx, log, f)
		if err != nil {
			return Recalled{}, err
		}
		out.Patients = append(out.Patients, found...)
		last := i == len(patients)-1
		if len(out.Patients) >= size && !last || last && len(patients) == patientsAtOnce {
			out.Next = q.patientCursor(p)
			break
		}
	}
	return out, nil
}

// affected counts the entries of one patient, by client.
func affected(ctx context.Context, log Log, f audit.Filter) ([]Affected, error) {
	var out []Affected
	at := map[string]int{}
	f.Limit = audit.MaxLimit
	for {
		rows, more, err := log.Page(ctx, f, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			ix := r.Index
			i, ok := at[ix.Client]
			if !ok {
				i = len(out)
				at[ix.Client] = i
				out = append(out, Affected{Patient: ix.Patient, Client: ix.Client, First: ix.Time, Last: ix.Time})
			}
			a := &out[i]
			a.Entries++
			if ix.Shown {
				a.Shown++
			}
			if ix.Time.Before(a.First) {
				a.First = ix.Time
			}
			if ix.Time.After(a.Last) {
				a.Last = ix.Time
			}
		}
		if more == nil {
			return out, nil
		}
		f.After = more
	}
}

// A cursor of a recall names the last patient, as the page did.

func (q Query) patientCursor(patient string) string {
	raw := binary.BigEndian.AppendUint64([]byte{2}, q.digest())
	return base64.RawURLEncoding.EncodeToString(append(raw, patient...))
}

func (q Query) afterPatient(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < 10 || raw[0] != 2 || binary.BigEndian.Uint64(raw[1:9]) != q.digest() {
		return "", ErrCursor
	}
	return string(raw[9:]), nil
}
