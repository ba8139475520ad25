// SPDX-License-Identifier: Apache-2.0

// Package validation is the local validation of a model: the signed record that
// somebody who may answer for it has looked at how this model does on this
// hospital's own patients, until when that holds, and of which units. Display
// mode suggest needs one that is in force (design.md 5.11).
//
// It trusts the holder of the signing key, and nobody else: what a file says is
// looked at only after its signature holds, and what a record covers is compared
// with what the service runs, hash by hash. Whatever does not fit has a Code,
// and the service then shows no dose.
package validation

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
)

// Schema is the first line of a record.
const Schema = "sepsisagent.validation/1"

// Bounds of a record.
const (
	MaxBytes = 1 << 20              // of the signed file
	MaxLife  = 366 * 24 * time.Hour // from acceptance to expiry
	maxText  = 200                  // bytes of a name
	maxNames = 1000                 // units, clients, measures
)

// ErrRecord: the text is no record that this package would write.
var ErrRecord = errors.New("not a validation record")

// ErrSignature: the file is not signed by the key that is trusted.
var ErrSignature = errors.New("the validation record is not signed by the configured key")

// Covers are what was validated, by the hashes that every receipt names. Actor
// and Prompts are empty where there is no learned policy and no language model.
type Covers struct {
	Model    string `json:"model"`
	Actor    string `json:"actor,omitempty"`
	Rules    string `json:"rules"`
	CodeMaps string `json:"codemaps"`
	Config   string `json:"config"` // of the settings that decisions depend on
	Prompts  string `json:"prompts,omitempty"`
}

// Measure is one number that was held against a bar. A bar that is not set is
// null.
type Measure struct {
	Name    string   `json:"name"` // as `evaluate world --json` names it
	Value   float64  `json:"value"`
	Low     *float64 `json:"low,omitempty"` // 95 % interval over resampled patients, where there is one
	High    *float64 `json:"high,omitempty"`
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
}

// Replay is what became of this hospital's own recorded decisions when they were
// made again with what is accepted. Decisions = Identical + Alike + Changed: where
// one could not be made again, nothing is signed.
type Replay struct {
	Report    string `json:"report"`    // SHA-256 of the file that `audit replay --report` or `model accept` wrote
	Decisions int    `json:"decisions"` // 0: the log held none
	Identical int    `json:"identical"`
	Alike     int    `json:"alike"`   // other numbers, and the same said
	Changed   int    `json:"changed"` // something else said
}

func (r *Replay) validate() error {
	switch {
	case r == nil:
		return nil
	case !isHash(r.Report):
		return fmt.Errorf("%w: the replay report is no SHA-256 hash", ErrRecord)
	case min(r.Identical, r.Alike, r.Changed) < 0 || r.Decisions != r.Identical+r.Alike+r.Changed:
		return fmt.Errorf("%w: the counts of the replay cannot be", ErrRecord)
	}
	return nil
}

// Record is one acceptance.
type Record struct {
	Site      string    `json:"site"`
	Clients   []string  `json:"clients,omitempty"` // registered names; none: every client
	Units     []string  `json:"units,omitempty"`   // as charted; none: every unit
	Operator  string    `json:"operator"`          // who accepted it
	Accepted  time.Time `json:"accepted"`
	Until     time.Time `json:"until"` // not in force from here on
	Software  string    `json:"software"`
	Covers    Covers    `json:"covers"`
	Cohort    string    `json:"cohort"` // digest of the rows that were scored
	Patients  int       `json:"patients"`
	Stays     int       `json:"stays"`
	Decisions int       `json:"decisions"` // decision times that were scored
	Measures  []Measure `json:"measures"`
	Replay    *Replay   `json:"replay,omitempty"` // absent: no decision was made again
}

// Validate reports the first thing that cannot be right. Errors wrap ErrRecord.
func (r *Record) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrRecord, fmt.Sprintf(format, args...))
	}
	for _, text := range []struct{ key, value string }{{"site", r.Site}, {"operator", r.Operator}, {"software", r.Software}} {
		if !isName(text.value) {
			return fail("%s is empty, too long, or not one line", text.key)
		}
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"clients", r.Clients}, {"units", r.Units}} {
		if len(list.names) > maxNames || slices.ContainsFunc(list.names, func(s string) bool { return !isName(s) }) {
			return fail("%s hold a name that is empty, too long, or not one line", list.key)
		}
	}
	for _, hash := range []struct {
		key, value string
		needed     bool
	}{
		{"model", r.Covers.Model, true}, {"actor", r.Covers.Actor, false}, {"rules", r.Covers.Rules, true},
		{"codemaps", r.Covers.CodeMaps, true}, {"config", r.Covers.Config, true}, {"prompts", r.Covers.Prompts, false},
		{"cohort", r.Cohort, true},
	} {
		if (hash.value != "" || hash.needed) && !isHash(hash.value) {
			return fail("%s is no SHA-256 hash", hash.key)
		}
	}
	switch life := r.Until.Sub(r.Accepted); {
	case r.Accepted.IsZero() || r.Accepted.Location() != time.UTC || r.Until.Location() != time.UTC:
		return fail("accepted and until must be times in UTC")
	case life <= 0 || life > MaxLife:
		return fail("it must expire after its acceptance and within %d days", int(MaxLife.Hours()/24))
	case r.Patients < 1 || r.Stays < r.Patients || r.Decisions < 1:
		return fail("the counts of patients, stays and decisions cannot be")
	case len(r.Measures) == 0 || len(r.Measures) > maxNames:
		return fail("nothing, or too much, was measured")
	}
	for _, m := range r.Measures {
		if err := m.validate(); err != nil {
			return err
		}
	}
	return r.Replay.validate()
}

func (m *Measure) validate() error {
	if !isName(m.Name) {
		return fmt.Errorf("%w: a measure without a name", ErrRecord)
	}
	for _, v := range []*float64{&m.Value, m.Low, m.High, m.AtLeast, m.AtMost} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			return fmt.Errorf("%w: measure %s is not a number", ErrRecord, m.Name)
		}
	}
	return nil
}

// isName tells whether a text can stand on one line of a receipt.
func isName(s string) bool {
	return s != "" && len(s) <= maxText && strings.TrimSpace(s) == s && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) < 0
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && strings.ToLower(s) == s
}

// Text is the text that is signed: the schema on a line of its own, then the
// record as indented JSON. One record has one text.
func (r *Record) Text() (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	var b bytes.Buffer
	b.WriteString(Schema + "\n")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return "", fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return b.String(), nil
}

// Sign gives the record as a signed note. Errors wrap ErrRecord or audit.ErrKey.
func (r *Record) Sign(key *audit.Key) ([]byte, error) {
	text, err := r.Text()
	if err != nil {
		return nil, err
	}
	return key.SignNote(text)
}

// Parse reads the text of a record. It takes exactly what Text writes: a
// spelling of our own for one meaning leaves nothing to interpret. Errors wrap
// ErrRecord.
func Parse(text string) (*Record, error) {
	body, ok := strings.CutPrefix(text, Schema+"\n")
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrRecord, Schema)
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	var r Record
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	again, err := r.Text()
	if err != nil {
		return nil, err
	}
	if again != text {
		return nil, fmt.Errorf("%w: it is written otherwise than this program writes it", ErrRecord)
	}
	return &r, nil
}

// Open checks the signature of a file and reads the record in it. Errors wrap
// ErrSignature or ErrRecord.
func Open(signed []byte, v *audit.Verifier) (*Record, error) {
	if len(signed) > MaxBytes {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrRecord, MaxBytes)
	}
	text, err := v.OpenNote(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return Parse(text)
}
