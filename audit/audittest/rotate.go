// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: replacing the key that signs checkpoints.

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
)

// rotate replaces the key of a log that is closed and opens it again.
func (h *house) rotate(seen string) (was *audit.Key) {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Fatal(err)
	}
	was, fresh := h.key, newKey(h.t)
	if err := h.Place.Rotate(h.t.Context(), sqllog.Options{Key: was, Seen: seen}, fresh, why); err != nil {
		h.t.Fatal(err)
	}
	h.key = fresh
	h.Log = h.another(sqllog.Options{Key: fresh, Seen: seen})
	return was
}

func rotated(t *testing.T, place func(testing.TB) Place) {
	h := newHouse(t, place)
	seen := filepath.Join(t.TempDir(), "seen")
	h.add(3)
	_, early, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := []*audit.Key{h.rotate(seen)}
	h.add(2)
	_, middle, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys = append(keys, h.rotate(seen), h.key)
	h.add(2)
	for i, key := range keys {
		for _, kept := range [][]byte{nil, early, middle} {
			r, err := h.Place.Verify(t.Context(), sqllog.Options{Verifier: key.Verifier()}, kept)
			if err != nil || !r.OK || r.Size != 9 || r.Signed != 10 {
				t.Errorf("with key %d: %+v, %v", i, r, err)
			}
		}
		l, err := h.Place.Open(t.Context(), sqllog.Options{Key: key})
		if err == nil {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if old := i < 2; old && !errors.Is(err, audit.ErrKey) || !old && err != nil {
			t.Errorf("appending with key %d: error %v", i, err)
		}
	}
	for _, older := range [][]byte{early, middle} {
		p, err := h.ProveConsistency(t.Context(), older)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(h.Verifier()); err != nil {
			t.Error(err)
		}
	}
	p, err := h.ProveInclusion(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(h.key.Verifier()); err != nil {
		t.Errorf("the newest public key alone: %v", err)
	}
	if n := len(h.ids(audit.Filter{Kind: audit.KindKey})); n != 2 {
		t.Errorf("%d entries record a new key", n)
	}
	if data, err := os.ReadFile(seen); err != nil || len(data) == 0 {
		t.Errorf("the checkpoint seen: %v", err)
	}
	other, _, err := audit.NewKey(nil, "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	for name, fresh := range map[string]*audit.Key{"of another name": other, "the same": h.key} {
		if err := h.Place.Rotate(t.Context(), sqllog.Options{Key: h.key}, fresh, why); !errors.Is(err, audit.ErrKey) {
			t.Errorf("a key %s: error %v", name, err)
		}
	}
	if err := h.Place.Rotate(t.Context(), sqllog.Options{Key: keys[0]}, newKey(t), why); !errors.Is(err, audit.ErrKey) {
		t.Errorf("by a key that was replaced: error %v", err)
	}
	if err := h.Place.Rotate(t.Context(), sqllog.Options{Key: h.key}, newKey(t), audit.Why{}); !errors.Is(err, audit.ErrInvalid) {
		t.Errorf("without a reason: error %v", err)
	}
}

// replacedKey plays whoever has the database and the old key.
func replacedKey(t *testing.T, place func(testing.TB) Place) {
	attacks := map[string]func(h *house, was *audit.Key) []statement{
		"a later checkpoint signed with the old key": func(h *house, was *audit.Key) []statement {
			head, _, err := h.Head(h.t.Context())
			if err != nil {
				h.t.Fatal(err)
			}
			signed, err := head.Sign(was)
			if err != nil {
				h.t.Fatal(err)
			}
			return []statement{do(`UPDATE checkpoint SET signed = ? WHERE size = ?`, signed, head.Size)}
		},
		"the replacement taken back": func(*house, *audit.Key) []statement {
			return []statement{do(`DELETE FROM meta WHERE key LIKE 'rotation:%'`)}
		},
		"another replacement in its place": func(h *house, was *audit.Key) []statement {
			signed, err := audit.SignRotation(was, newKey(h.t), 4)
			if err != nil {
				h.t.Fatal(err)
			}
			return []statement{do(`UPDATE meta SET value = ? WHERE key LIKE 'rotation:%'`, string(signed))}
		},
		"a replacement that the new key did not sign": func(h *house, was *audit.Key) []statement {
			mallory := newKey(h.t)
			signed, err := was.SignNote("sepsisagent audit key rotation/1\n" + was.Name() + "\n4\n" + was.Verifier().String() + "\n" + mallory.Verifier().String() + "\n")
			if err != nil {
				h.t.Fatal(err)
			}
			return []statement{do(`UPDATE meta SET value = ? WHERE key LIKE 'rotation:%'`, string(signed))}
		},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, place)
			h.add(4)
			was := h.rotate("")
			h.add(2)
			h.wantOK(7)
			h.tamper(attack(h, was)...)
			if r := h.report(nil); r.OK {
				t.Errorf("with the new public key: %+v", r)
			}
		})
	}
}
