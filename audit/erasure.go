// SPDX-License-Identifier: Apache-2.0

package audit

// This file: erasure and legal hold. An erased entry leaves its digests, so that
// the tree stays what was signed; the erasure is itself an entry, which names
// what went and not whom it was about. A hold is an entry too: whatever it covers
// is not erased until an entry that refers to it releases it.

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Kinds of entries that this package itself reads. They are never erased and
// never stored encrypted: anybody who verifies the log must be able to count what
// was erased, and what was held.
const (
	KindErasure = "erasure"
	KindHold    = "hold"
	KindKey     = "key" // the key that signs checkpoints was replaced
)

// PermanentKinds are those kinds.
func PermanentKinds() []string { return []string{KindErasure, KindHold, KindKey} }

// Permanent says whether entries of a kind can never be erased.
func Permanent(kind string) bool { return slices.Contains(PermanentKinds(), kind) }

// Words of a hold in its index: Status, and Topic for what it covers.
const (
	HoldPlaced   = "placed"
	HoldReleased = "released"
	HoldPatient  = "patient"
	HoldReceipt  = "receipt"
	HoldLog      = "log"
)

// maxReasonBytes is the longest reason of an erasure or a hold.
const maxReasonBytes = 1000

// Why says who erases, holds or releases, and for what reason. It is recorded as
// given: it must name no patient.
type Why struct {
	Operator string `json:"operator"`
	Reason   string `json:"reason"`
}

// Validate demands both. Errors wrap ErrInvalid.
func (w Why) Validate() error {
	for _, s := range []struct{ name, v string }{{"operator", w.Operator}, {"reason", w.Reason}} {
		switch {
		case strings.TrimSpace(s.v) == "":
			return fmt.Errorf("%w: no %s", ErrInvalid, s.name)
		case len(s.v) > maxReasonBytes || !utf8.ValidString(s.v):
			return fmt.Errorf("%w: %s of over %d bytes, or no text", ErrInvalid, s.name, maxReasonBytes)
		}
	}
	return nil
}

// Selection says which entries to erase: all of one patient, one entry, or all
// before a time. Exactly one of Patient, ID and Before is set.
type Selection struct {
	Patient string    `json:"patient,omitempty"` // as in Index.Patient
	ID      string    `json:"id,omitempty"`
	Before  time.Time `json:"before,omitzero"` // exclusive
	// Client narrows Patient: two EHRs may both have a Patient/1.
	Client string `json:"client,omitempty"`
	// Kind narrows Before to one kind; Keep leaves kinds out that a service
	// still reads its own state from.
	Kind string   `json:"kind,omitempty"`
	Keep []string `json:"keep,omitempty"`
}

// Validate says whether the selection is one. Errors wrap ErrInvalid.
func (s Selection) Validate() error {
	n := 0
	for _, set := range []bool{s.Patient != "", s.ID != "", !s.Before.IsZero()} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("%w selection: give one of patient, receipt and time", ErrInvalid)
	case s.Client != "" && s.Patient == "":
		return fmt.Errorf("%w selection: a client narrows a patient only", ErrInvalid)
	case s.Kind != "" && s.Before.IsZero():
		return fmt.Errorf("%w selection: a kind narrows a time only", ErrInvalid)
	case Permanent(s.Kind):
		return fmt.Errorf("%w selection: entries of kind %s are never erased", ErrInvalid, s.Kind)
	}
	return nil
}

// By names what selected, and nobody: it is what the erasure's entry may say.
func (s Selection) By() string {
	switch {
	case s.Patient != "":
		return "patient"
	case s.ID != "":
		return "receipt"
	}
	return "time"
}

// Erased is what an erasure did, or would do.
type Erased struct {
	Records  int64            `json:"records"`
	Kinds    map[string]int64 `json:"kinds,omitempty"` // of those
	Held     int64            `json:"held"`            // selected, and kept by a legal hold
	Oldest   time.Time        `json:"oldest,omitzero"`
	Newest   time.Time        `json:"newest,omitzero"`
	Receipts []string         `json:"receipts,omitempty"` // ids of the entries that record it
	// Remains says where erased bytes may still lie; empty: nowhere in the
	// database that it knows of. Backups are another matter.
	Remains string `json:"remains,omitempty"`
}

// Count adds an entry that went, or would go.
func (e *Erased) Count(ix Index) {
	if e.Kinds == nil {
		e.Kinds = map[string]int64{}
	}
	e.Records++
	e.Kinds[ix.Kind]++
	if e.Oldest.IsZero() || ix.Time.Before(e.Oldest) {
		e.Oldest = ix.Time
	}
	if ix.Time.After(e.Newest) {
		e.Newest = ix.Time
	}
}

const erasureSchema = "sepsisagent.erasure/1"

// Erasure is the body of an entry of KindErasure. It names no patient.
type Erasure struct {
	Schema string `json:"schema"`
	Why
	By      string          `json:"by"` // patient, receipt or time
	Before  time.Time       `json:"before,omitzero"`
	Kind    string          `json:"kind,omitempty"`
	Records []ErasureRecord `json:"records"`
}

// ErasureRecord is one entry that was erased.
type ErasureRecord struct {
	Leaf int64  `json:"leaf"`
	ID   string `json:"id"`
}

// NewErasure begins the body of an erasure.
func NewErasure(s Selection, why Why) Erasure {
	return Erasure{Schema: erasureSchema, Why: why, By: s.By(), Before: s.Before, Kind: s.Kind, Records: []ErasureRecord{}}
}

// DecodeErasure reads the body of an entry of KindErasure.
func DecodeErasure(body []byte) (Erasure, error) {
	var e Erasure
	if err := json.Unmarshal(body, &e); err != nil || e.Schema != erasureSchema {
		return Erasure{}, fmt.Errorf("%w: not a record of an erasure", ErrInvalid)
	}
	return e, nil
}

// Hold keeps entries from being erased: those of a patient, one entry and what
// refers to it, or the whole log.
type Hold struct {
	ID      string    `json:"id"` // of the entry that placed it
	Placed  time.Time `json:"placed"`
	Topic   string    `json:"covers"` // HoldPatient, HoldReceipt or HoldLog
	Patient string    `json:"patient,omitempty"`
	Client  string    `json:"client,omitempty"` // narrows Patient
	Receipt string    `json:"receipt,omitempty"`
	Why
}

// Validate says whether the hold covers something. Errors wrap ErrInvalid.
func (h Hold) Validate() error {
	ok := false
	switch h.Topic {
	case HoldPatient:
		ok = h.Patient != "" && h.Receipt == ""
	case HoldReceipt:
		ok = h.Receipt != "" && h.Patient == "" && h.Client == ""
	case HoldLog:
		ok = h.Patient == "" && h.Receipt == "" && h.Client == ""
	}
	if !ok {
		return fmt.Errorf("%w hold: it covers a patient, a receipt or the whole log", ErrInvalid)
	}
	return h.Why.Validate()
}

// Covers says whether the hold keeps an entry.
func (h Hold) Covers(ix Index) bool {
	switch h.Topic {
	case HoldPatient:
		return ix.Patient == h.Patient && (h.Client == "" || ix.Client == h.Client)
	case HoldReceipt:
		return ix.ID == h.Receipt || ix.Refers == h.Receipt
	case HoldLog:
		return true
	}
	return true // a hold of a later version: nobody here knows what it covers
}

// Index is how the placing of the hold is found.
func (h Hold) Index() Index {
	return Index{ID: h.ID, Time: h.Placed, Kind: KindHold, Status: HoldPlaced, Topic: h.Topic, Patient: h.Patient, Client: h.Client, Refers: h.Receipt, User: h.Operator}
}

// HoldOf reads a hold from the index of the entry that placed it.
func HoldOf(ix Index) Hold {
	return Hold{ID: ix.ID, Placed: ix.Time, Topic: ix.Topic, Patient: ix.Patient, Client: ix.Client, Receipt: ix.Refers, Why: Why{Operator: ix.User}}
}
