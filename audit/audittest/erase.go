// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: erasure and legal holds.

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

var why = audit.Why{Operator: "A. Compliance", Reason: "request 2026-17"}

func (h *house) erase(sel audit.Selection) audit.Erased {
	h.t.Helper()
	plan, err := h.PlanErasure(h.t.Context(), sel)
	if err != nil {
		h.t.Fatal(err)
	}
	done, err := h.Erase(h.t.Context(), sel, why)
	if err != nil {
		h.t.Fatal(err)
	}
	if plan.Records != done.Records || plan.Held != done.Held || !plan.Oldest.Equal(done.Oldest) || !plan.Newest.Equal(done.Newest) {
		h.t.Errorf("planned %+v, done %+v", plan, done)
	}
	return done
}

// ids are those of all entries, oldest first.
func (h *house) ids(f audit.Filter) []string {
	h.t.Helper()
	f.OldestFirst, f.Limit = true, audit.MaxLimit
	rows, err := h.Query(h.t.Context(), f)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.Index.ID)
	}
	return out
}

func erasure(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(20)
	before, signed, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inclusion, err := h.ProveInclusion(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	done := h.erase(audit.Selection{Patient: "Patient/2"})
	if done.Records != 4 || done.Kinds["decision"] != 4 || len(done.Receipts) != 1 || done.Held != 0 {
		t.Fatalf("%+v", done)
	}
	r := h.report(signed)
	if !r.OK || r.Size != 21 || r.Erased != 4 {
		t.Fatalf("report %+v", r)
	}
	for _, f := range []audit.Filter{{Patient: "Patient/2"}, {Refers: Entry(7).Index.ID}} {
		if ids := h.ids(f); len(ids) > 0 {
			t.Errorf("%+v still finds %v", f, ids)
		}
	}
	if _, err := h.Get(t.Context(), Entry(7).Index.ID); !errors.Is(err, audit.ErrErased) || !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("get: error %v", err)
	}
	if leaf, err := h.LeafOf(t.Context(), Entry(7).Index.ID); err != nil || leaf != 7 {
		t.Errorf("leaf %d, %v", leaf, err)
	}
	// Proofs made before and after hold, by another library too.
	if _, err := inclusion.Check(h.key.Verifier()); err != nil {
		t.Error(err)
	}
	again, err := h.ProveInclusion(t.Context(), 7)
	if err != nil || again.LeafHash != inclusion.LeafHash {
		t.Fatalf("%+v, %v", again, err)
	}
	head, _, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, 7, uint64(head.Size), again.LeafHash[:], raw(again.Path), head.Root[:]); err != nil {
		t.Error(err)
	}
	path, err := h.ProveConsistency(t.Context(), signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(before.Size), uint64(head.Size), raw(path.Path), before.Root[:], head.Root[:]); err != nil {
		t.Error(err)
	}
	receipt, err := h.Get(t.Context(), done.Receipts[0])
	if err != nil {
		t.Fatal(err)
	}
	e, err := audit.DecodeErasure(receipt.Body)
	if err != nil || e.Reason != why.Reason || e.Operator != why.Operator || e.By != "patient" || len(e.Records) != 4 || e.Records[0].Leaf != 2 || e.Records[0].ID != Entry(2).Index.ID {
		t.Errorf("receipt %+v, %v", e, err)
	}
	if bytes.Contains(receipt.Body, []byte("Patient/2")) || receipt.Index.Patient != "" {
		t.Error("the receipt of the erasure names the patient")
	}
	if _, err := h.Append(t.Context(), Entry(7)); !errors.Is(err, audit.ErrDuplicate) {
		t.Errorf("an erased id was taken again: error %v", err)
	}
}

func erasing(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(12)
	ours, theirs := Entry(50), Entry(51)
	ours.Index.Patient, theirs.Index.Patient = "Patient/x", "Patient/x"
	ours.Index.Client, theirs.Index.Client = "ours", "theirs"
	kept := Entry(52)
	kept.Index.Kind = "config"
	for _, e := range []audit.Entry{ours, theirs, kept} {
		if _, err := h.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if done := h.erase(audit.Selection{Patient: "Patient/nobody"}); done.Records != 0 || len(done.Receipts) != 0 {
		t.Errorf("nobody: %+v", done)
	}
	if done := h.erase(audit.Selection{Patient: "Patient/x", Client: "ours"}); done.Records != 1 {
		t.Errorf("one client's patient: %+v", done)
	}
	if _, err := h.Get(t.Context(), theirs.Index.ID); err != nil {
		t.Errorf("the other client's patient of that id went too: %v", err)
	}
	if done := h.erase(audit.Selection{ID: Entry(5).Index.ID}); done.Records != 1 {
		t.Errorf("one receipt: %+v", done)
	}
	if done := h.erase(audit.Selection{Before: Entry(4).Index.Time}); done.Records != 4 || !done.Newest.Before(Entry(4).Index.Time) {
		t.Errorf("before a time: %+v", done)
	}
	if done := h.erase(audit.Selection{Before: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Kind: "config"}); done.Records != 1 || done.Kinds["config"] != 1 {
		t.Errorf("one kind: %+v", done)
	}
	if done := h.erase(audit.Selection{Before: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Keep: []string{"decision"}}); done.Records != 0 {
		t.Errorf("all but decisions, of which there are no others than erasures: %+v", done)
	}
	if n := len(h.ids(audit.Filter{Kind: audit.KindErasure})); n != 4 {
		t.Errorf("%d entries record erasures", n)
	}
	for name, sel := range map[string]audit.Selection{
		"nothing selected": {}, "two ways at once": {Patient: "p", ID: "i"}, "a client alone": {Client: "c"}, "a kind alone": {Kind: "decision"},
		"erasures themselves": {Before: time.Now(), Kind: audit.KindErasure}, "holds": {Before: time.Now(), Kind: audit.KindHold},
	} {
		if _, err := h.Erase(t.Context(), sel, why); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, w := range []audit.Why{{}, {Operator: "o"}, {Reason: "r"}, {Operator: " ", Reason: "r"}} {
		if _, err := h.Erase(t.Context(), audit.Selection{ID: "x"}, w); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("%+v: error %v", w, err)
		}
	}
	reader := h.another(sqllog.Options{Verifier: h.key.Verifier()})
	if _, err := reader.Erase(t.Context(), audit.Selection{ID: Entry(8).Index.ID}, why); !errors.Is(err, audit.ErrKey) {
		t.Errorf("without the key: error %v", err)
	}
	if r := h.report(nil); !r.OK || r.Erased != 7 {
		t.Errorf("report %+v", r)
	}
}

func holding(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.add(10)
	feedback := Entry(60)
	feedback.Index.Kind, feedback.Index.Patient, feedback.Index.Refers = "feedback", "Patient/9", Entry(4).Index.ID
	if _, err := h.Append(t.Context(), feedback); err != nil {
		t.Fatal(err)
	}
	hold := func(x audit.Hold) string {
		t.Helper()
		x.Why = why
		got, err := h.PlaceHold(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		return got.ID
	}
	patient := hold(audit.Hold{Topic: audit.HoldPatient, Patient: "Patient/1"})
	receipt := hold(audit.Hold{Topic: audit.HoldReceipt, Receipt: Entry(4).Index.ID})
	holds, err := h.Holds(t.Context())
	if err != nil || len(holds) != 2 || holds[0].ID != patient || holds[0].Reason != why.Reason || holds[1].Receipt != Entry(4).Index.ID {
		t.Fatalf("%+v, %v", holds, err)
	}
	all := audit.Selection{Before: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	if done := h.erase(audit.Selection{Patient: "Patient/1"}); done.Records != 0 || done.Held != 2 {
		t.Errorf("a held patient: %+v", done)
	}
	if done := h.erase(all); done.Records != 7 || done.Held != 4 {
		t.Errorf("everything: %+v", done) // kept: two of the patient, the receipt and the feedback on it
	}
	log := hold(audit.Hold{Topic: audit.HoldLog})
	if err := h.ReleaseHold(t.Context(), patient, why); err != nil {
		t.Fatal(err)
	}
	if err := h.ReleaseHold(t.Context(), patient, why); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("released twice: error %v", err)
	}
	if done := h.erase(all); done.Records != 0 || done.Held != 4 {
		t.Errorf("under a hold on the whole log: %+v", done)
	}
	for _, id := range []string{log, receipt} {
		if err := h.ReleaseHold(t.Context(), id, why); err != nil {
			t.Fatal(err)
		}
	}
	if done := h.erase(all); done.Records != 4 || done.Held != 0 {
		t.Errorf("released: %+v", done)
	}
	if left := h.ids(audit.Filter{Kind: audit.KindHold}); len(left) != 6 {
		t.Errorf("%d entries of holds, want 6: they are never erased", len(left))
	}
	for name, x := range map[string]audit.Hold{
		"nothing": {Topic: audit.HoldPatient, Why: why}, "no reason": {Topic: audit.HoldLog}, "an unknown scope": {Topic: "unit", Why: why},
	} {
		if _, err := h.PlaceHold(t.Context(), x); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := h.PlaceHold(t.Context(), audit.Hold{Topic: audit.HoldReceipt, Receipt: "nobody", Why: why}); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a receipt that is not there: error %v", err)
	}
	if r := h.report(nil); !r.OK || r.Erased != 11 {
		t.Errorf("report %+v", r)
	}
	// A hold that was lifted by changing its row stops every erasure.
	hold(audit.Hold{Topic: audit.HoldPatient, Patient: "Patient/1"})
	h.tamper(do(`UPDATE entry SET index_json = ? WHERE kind = 'hold' AND status = 'placed' AND leaf = (SELECT MAX(leaf) FROM entry)`, []byte(`{"id":"x","kind":"hold","time":"2026-11-22T08:00:00Z"}`)))
	h.Log = h.another(sqllog.Options{Key: h.key})
	if _, err := h.Erase(t.Context(), all, why); !errors.Is(err, audit.ErrProof) {
		t.Errorf("a changed hold: error %v", err)
	}
}

// falseErasure plays somebody with the database who puts digests where a record
// was, or a record back where it was erased.
func falseErasure(t *testing.T, place func(testing.TB) Place) {
	leaf, err := audit.LeafOf(Entry(4))
	if err != nil {
		t.Fatal(err)
	}
	other, err := audit.LeafOf(Entry(5))
	if err != nil {
		t.Fatal(err)
	}
	remove := []statement{do(`DELETE FROM entry WHERE leaf = 4`), do(`DELETE FROM term WHERE leaf = 4`)}
	put := func(digests []byte, id string) []statement {
		return append(slices.Clone(remove), do(`INSERT INTO erased (leaf, id, digests, receipt) VALUES (4, ?, ?, '')`, id, digests))
	}
	tests := []struct {
		name  string
		stmts []statement
		first int64
	}{
		{"its digests, and no record of an erasure", put(leaf.Bytes(), leaf.ID), 4},
		{"digests of another record", put(other.Bytes(), leaf.ID), 4},
		{"digests under another id", put(leaf.Bytes(), "other"), 4},
		{"bytes that are no digests", put([]byte("x"), leaf.ID), 4},
		{"digests beside the record", []statement{do(`INSERT INTO erased (leaf, id, digests, receipt) VALUES (4, ?, ?, '')`, leaf.ID, leaf.Bytes())}, 4},
		{"digests beyond the end", []statement{do(`INSERT INTO erased (leaf, id, digests, receipt) VALUES (99, ?, ?, '')`, leaf.ID, leaf.Bytes())}, 11},
		{"what is left of an erased record removed", []statement{do(`DELETE FROM erased WHERE leaf = 2`)}, 2},
		{"the digests of an erased record changed", []statement{do(`UPDATE erased SET digests = ? WHERE leaf = 2`, other.Bytes())}, 2},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, place)
			h.add(10)
			h.erase(audit.Selection{ID: Entry(2).Index.ID})
			h.wantOK(11)
			h.tamper(tc.stmts...)
			h.wantBad(tc.first)
		})
	}
	h := newHouse(t, place)
	h.add(4)
	h.tamper(do(`UPDATE entry SET body = ? WHERE leaf = 2`, []byte("other")))
	if _, err := h.Erase(t.Context(), audit.Selection{ID: Entry(2).Index.ID}, why); !errors.Is(err, audit.ErrProof) {
		t.Errorf("a changed record was erased: error %v", err)
	}
}

// afterErasure has a log go on, be closed, copied and opened again.
func afterErasure(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	h.addTogether(450)
	done := h.erase(audit.Selection{Before: Entry(430).Index.Time})
	if done.Records != 430 || len(done.Receipts) != 3 {
		t.Fatalf("%+v", done)
	}
	h.reopen()
	for i := range 3 {
		if _, err := h.Append(t.Context(), Entry(1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	done = h.erase(audit.Selection{Before: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)})
	if done.Records != 23 {
		t.Errorf("%+v", done)
	}
	h.reopen()
	copied := h.Copy(t)
	for _, p := range []Place{h.Place, copied} {
		r, err := p.Verify(t.Context(), sqllog.Options{Verifier: h.key.Verifier()}, nil)
		if err != nil || !r.OK || r.Erased != 453 || r.Size != 457 {
			t.Errorf("report %+v, %v", r, err)
		}
	}
}
