// SPDX-License-Identifier: Apache-2.0

package audittest

// This file: a witness of its own, written from the C2SP specifications and on
// another library than ours, and what it must make of a log.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqllog"
	"github.com/sepsisagent/sepsisagent/audit/witness"
)

// Witness is a witness of one log, in memory, as an http.Handler.
type Witness struct {
	Name string
	Now  func() time.Time
	log  note.Verifier

	mu   sync.Mutex
	size uint64
	root []byte
	key  ed25519.PrivateKey
}

// NewWitness makes a witness of the log with this public key.
func NewWitness(name, logKey string) (*Witness, error) {
	v, err := note.NewVerifier(logKey)
	if err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return &Witness{Name: name, Now: time.Now, log: v, key: key}, err
}

// VKey is its public key in note form.
func (w *Witness) VKey() string {
	raw := append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	return fmt.Sprintf("%s+%08x+%s", w.Name, w.keyHash(), base64.StdEncoding.EncodeToString(raw))
}

func (w *Witness) keyHash() uint32 {
	sum := sha256.Sum256(append([]byte(w.Name+"\n\x04"), w.key.Public().(ed25519.PublicKey)...))
	return binary.BigEndian.Uint32(sum[:4])
}

// ServeHTTP answers add-checkpoint.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/add-checkpoint" {
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	status, answer := w.answer(body)
	if status == http.StatusConflict {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
	}
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, answer)
}

func (w *Witness) answer(body []byte) (int, string) {
	head, signed, found := bytes.Cut(body, []byte("\n\n"))
	lines := bufio.NewScanner(bytes.NewReader(head))
	if !found || !lines.Scan() {
		return http.StatusBadRequest, ""
	}
	old, err := strconv.ParseUint(strings.TrimPrefix(lines.Text(), "old "), 10, 63)
	if err != nil {
		return http.StatusBadRequest, ""
	}
	var path [][]byte
	for lines.Scan() {
		h, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil || len(h) != sha256.Size {
			return http.StatusBadRequest, ""
		}
		path = append(path, h)
	}
	n, err := note.Open(signed, note.VerifierList(w.log))
	if err != nil {
		return http.StatusForbidden, ""
	}
	text := strings.Split(n.Text, "\n")
	if text[0] != w.log.Name() {
		return http.StatusNotFound, ""
	}
	size, err1 := strconv.ParseUint(text[1], 10, 63)
	root, err2 := base64.StdEncoding.DecodeString(text[2])
	if err1 != nil || err2 != nil || old > size {
		return http.StatusBadRequest, ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old != w.size || old == size && w.root != nil && !bytes.Equal(root, w.root) {
		return http.StatusConflict, fmt.Sprintln(w.size)
	}
	if old > 0 && old < size {
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old, size, path, w.root, root); err != nil {
			return http.StatusUnprocessableEntity, ""
		}
	} else if len(path) > 0 {
		return http.StatusUnprocessableEntity, ""
	}
	w.size, w.root = size, root
	return http.StatusOK, w.line(n.Text)
}

// line signs the text of a checkpoint.
func (w *Witness) line(text string) string {
	at := uint64(w.Now().Unix())
	sig := ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))
	raw := binary.BigEndian.AppendUint32(nil, w.keyHash())
	raw = binary.BigEndian.AppendUint64(raw, at)
	return "\u2014 " + w.Name + " " + base64.StdEncoding.EncodeToString(append(raw, sig...)) + "\n"
}

// witnessed is a log with a witness that can be called.
func witnessed(t *testing.T, place func(testing.TB) Place) (*house, *Witness, *witness.Witness) {
	t.Helper()
	h := newHouse(t, place)
	other, err := NewWitness("witness.example/w1", h.key.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	return h, other, call(t, other, other.VKey())
}

// call serves a witness, or what says it is one, and gives our side of it.
func call(t *testing.T, handler http.Handler, vkey string) *witness.Witness {
	t.Helper()
	server := httptest.NewServer(handler)
	transport := &http.Transport{}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	w, err := witness.New(server.URL+"/", vkey, transport)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func cosigning(t *testing.T, place func(testing.TB) Place) {
	h, other, w := witnessed(t, place)
	if _, err := h.Cosigned(t.Context()); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("before: error %v", err)
	}
	for _, n := range []int{0, 3, 0, 1, 7} {
		h.add(n)
		got, err := w.Cosign(t.Context(), h.Log)
		if err != nil {
			t.Fatal(err)
		}
		size, err := h.Size(t.Context())
		if err != nil || got.Size != size || uint64(size) != other.size || time.Since(got.At) > time.Minute {
			t.Fatalf("%+v of %d entries, %v", got, size, err)
		}
	}
	cosigned, err := h.Cosigned(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Anybody with both keys opens the note, by x/mod alone.
	n, err := note.Open(cosigned, note.VerifierList(other.log, w.Key()))
	if err != nil || len(n.Sigs) != 2 {
		t.Fatalf("the cosigned checkpoint has %d signatures that hold, %v", len(n.Sigs), err)
	}
	if c, err := audit.OpenCheckpoint(cosigned, h.key.Verifier()); err != nil || c.Size != 11 {
		t.Errorf("%+v, %v", c, err)
	}
	r, err := h.Place.Verify(t.Context(), sqllog.Options{Verifier: h.key.Verifier(), Witnesses: []*audit.WitnessKey{w.Key()}}, cosigned)
	if err != nil || !r.OK || r.Witnessed["witness.example/w1"] != 11 {
		t.Errorf("report %+v, %v", r, err)
	}
}

func forgetfulLog(t *testing.T, place func(testing.TB) Place) {
	h, other, w := witnessed(t, place)
	h.add(3)
	backup := h.Copy(t)
	h.add(2)
	if _, err := w.Cosign(t.Context(), h.Log); err != nil {
		t.Fatal(err)
	}
	restored, err := backup.Open(t.Context(), sqllog.Options{Key: h.key})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if _, err := w.Cosign(t.Context(), restored); !errors.Is(err, audit.ErrRolledBack) {
		t.Errorf("a log rolled back: error %v", err)
	}
	// Grown again to the same size and beyond, with other entries.
	for i := range 3 {
		if _, err := restored.Append(t.Context(), Entry(100+i)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Cosign(t.Context(), restored); err == nil {
			t.Errorf("the witness signed a second history of %d entries", 4+i)
		}
	}
	if other.size != 5 {
		t.Errorf("the witness went on to %d", other.size)
	}
	// A witness that has seen more than the log remembers is caught up with.
	h.add(4)
	if r, err := w.Cosign(t.Context(), h.Log); err != nil || r.Size != 9 {
		t.Errorf("%+v, %v", r, err)
	}
}

func catchUp(t *testing.T, place func(testing.TB) Place) {
	h, _, w := witnessed(t, place)
	h.add(3)
	amnesiac := forgets{h.Log}
	for range 3 {
		h.add(2)
		if _, err := w.Cosign(t.Context(), amnesiac); err != nil {
			t.Fatal(err)
		}
	}
}

// forgets is a log that does not know what was signed.
type forgets struct{ *sqllog.Log }

func (forgets) LastCosigned(context.Context, *audit.WitnessKey) (int64, error) { return 0, nil }

// badWitness has everything a witness may do wrong refused, and nothing kept.
func badWitness(t *testing.T, place func(testing.TB) Place) {
	h, other, _ := witnessed(t, place)
	h.add(4)
	_, signed, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.SplitAfter(string(signed), "\n\n")[0]
	text = strings.TrimSuffix(text, "\n")
	good := other.line(text)
	impostor, err := NewWitness(other.Name, h.key.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		status int
		answer string
		want   error
	}{
		{"it does not know the log", 404, "", audit.ErrWitness},
		{"it refuses the signature", 403, "", audit.ErrWitness},
		{"it refuses the proof", 422, "", audit.ErrRolledBack},
		{"it is ill", 500, "", audit.ErrWitness},
		{"it sends elsewhere", 307, "", audit.ErrWitness},
		{"it signs nothing", 200, "", audit.ErrWitness},
		{"another signs under its name", 200, impostor.line(text), audit.ErrWitness},
		{"it signs another tree", 200, other.line("hospital.example/sepsis\n4\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), audit.ErrWitness},
		{"the signature is cut short", 200, good[:len(good)-9] + "\n", audit.ErrWitness},
		{"the line does not end", 200, strings.TrimSuffix(good, "\n"), audit.ErrWitness},
		{"it sends without end", 200, strings.Repeat(good, 2000), audit.ErrWitness},
		{"it conflicts without a size", 409, "soon\n", audit.ErrWitness},
		{"it conflicts with a size below none", 409, "-1\n", audit.ErrWitness},
		{"it has seen more than there is", 409, "9\n", audit.ErrRolledBack},
		{"it conflicts about the same size", 409, "0\n", audit.ErrRolledBack},
		{"it never agrees", 409, "2\n", audit.ErrRolledBack},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := call(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", "http://127.0.0.1:1/")
				rw.WriteHeader(tc.status)
				_, _ = io.WriteString(rw, tc.answer)
			}), other.VKey())
			if _, err := w.Cosign(t.Context(), h.Log); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
	if _, err := h.Cosigned(t.Context()); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("something was kept: %v", err)
	}
	h.wantOK(4)
}

// cosignatureTampering changes what is stored of a witness.
func cosignatureTampering(t *testing.T, place func(testing.TB) Place) {
	for name, tc := range map[string]struct {
		stmt  statement
		first int64
	}{
		"a cosignature moved to another size":   {do(`UPDATE cosignature SET size = 3 WHERE size = 4`), 2},
		"a cosignature changed":                 {do(`UPDATE cosignature SET line = REPLACE(line, 'witness.example/w1 ', 'witness.example/w1 A')`), 3},
		"a cosigned checkpoint removed":         {do(`DELETE FROM checkpoint WHERE size = 4`), 3},
		"the log rolled back to before it":      {do(`UPDATE cosignature SET size = 44 WHERE size = 4`), 43},
		"a cosignature replaced by what is not": {do(`UPDATE cosignature SET line = ''`), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _, w := witnessed(t, place)
			h.add(4)
			if _, err := w.Cosign(t.Context(), h.Log); err != nil {
				t.Fatal(err)
			}
			h.add(2)
			h.tamper(tc.stmt)
			r, err := h.Place.Verify(t.Context(), sqllog.Options{Verifier: h.key.Verifier(), Witnesses: []*audit.WitnessKey{w.Key()}}, nil)
			if err != nil || r.OK || r.FirstBad == nil || *r.FirstBad != tc.first {
				t.Errorf("report %+v, %v, want first bad %d", r, err, tc.first)
			}
		})
	}
}
