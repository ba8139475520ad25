// SPDX-License-Identifier: Apache-2.0

// Package witness asks witnesses to sign the log's checkpoints (C2SP
// tlog-witness): a third party that remembers the largest tree it saw and signs
// only what continues it. A witness sees origin, size and root of the tree and
// nothing of any record.
//
// It trusts a witness's public key for what that witness signed, and nothing that a
// witness says unsigned: a size it names is a reason to look, and a refusal is
// reported. A log that a witness has seen longer than it now is was rolled back.
package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sepsisagent/sepsisagent/audit"
)

const (
	// timeout bounds one message to a witness and its answer.
	timeout = 15 * time.Second
	// maxAnswer is the longest answer that is read.
	maxAnswer = 64 << 10
	// maxProof is the most lines of a proof that the protocol allows.
	maxProof = 63
)

// Log is the log whose checkpoints are to be signed.
type Log interface {
	Head(ctx context.Context) (audit.Checkpoint, []byte, error)
	LastCosigned(ctx context.Context, w *audit.WitnessKey) (int64, error)
	ConsistencyPath(ctx context.Context, from, to int64) ([]tlog.Hash, error)
	AddCosignature(ctx context.Context, size int64, c audit.Cosignature) error
}

// Witness is one witness, by the prefix of its address and its public key.
type Witness struct {
	prefix string
	key    *audit.WitnessKey
	client *http.Client
}

// New takes the submission prefix of a witness, https or on this machine, and its
// public key in note form. transport may be nil.
func New(prefix, vkey string, transport http.RoundTripper) (*Witness, error) {
	key, err := audit.ParseWitnessKey(vkey)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(prefix)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%w %s: its address is no plain URL", audit.ErrWitness, key.Name())
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("%w %s: its address must be https", audit.ErrWitness, key.Name())
	}
	return &Witness{prefix: strings.TrimSuffix(prefix, "/"), key: key, client: &http.Client{
		Timeout: timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Name is the witness's name.
func (w *Witness) Name() string { return w.key.Name() }

// Key is its public key.
func (w *Witness) Key() *audit.WitnessKey { return w.key }

// Signed is what came of one round.
type Signed struct {
	Witness string    `json:"witness"`
	Size    int64     `json:"size"`
	At      time.Time `json:"at"` // by the witness's clock
}

// Cosign has the witness sign the log's newest checkpoint and keeps what it
// signed in the log. Errors: audit.ErrRolledBack where the witness knows a longer
// or another tree, audit.ErrWitness for everything else that it does wrong.
func (w *Witness) Cosign(ctx context.Context, log Log) (Signed, error) {
	head, signed, err := log.Head(ctx)
	if err != nil {
		return Signed{}, err
	}
	from, err := log.LastCosigned(ctx, w.key)
	if err != nil {
		return Signed{}, err
	}
	lines, was, err := w.submit(ctx, log, from, head, signed)
	if err == nil && was != nil { // it knows another size than we remember: once more, from there
		if *was > head.Size {
			return Signed{}, fmt.Errorf("%w: witness %s has seen %d entries, the log has %d", audit.ErrRolledBack, w.Name(), *was, head.Size)
		}
		if *was == from {
			return Signed{}, fmt.Errorf("%w: witness %s has seen another tree of %d entries", audit.ErrRolledBack, w.Name(), from)
		}
		lines, was, err = w.submit(ctx, log, *was, head, signed)
		if err == nil && was != nil {
			if *was > head.Size {
				return Signed{}, fmt.Errorf("%w %s: another replica was faster", audit.ErrWitness, w.Name())
			}
			return Signed{}, fmt.Errorf("%w: witness %s has seen another tree of %d entries", audit.ErrRolledBack, w.Name(), *was)
		}
	}
	if err != nil {
		return Signed{}, err
	}
	c, err := w.key.Find(signed, lines)
	if err != nil {
		return Signed{}, err
	}
	at, err := c.Check(signed)
	if err != nil {
		return Signed{}, err
	}
	return Signed{w.Name(), head.Size, at}, log.AddCosignature(ctx, head.Size, c)
}

// submit sends one request. was is the size that the witness has, where it is not
// the one the request proved consistency from.
func (w *Witness) submit(ctx context.Context, log Log, from int64, head audit.Checkpoint, signed []byte) (lines []byte, was *int64, err error) {
	path, err := log.ConsistencyPath(ctx, from, head.Size)
	if err != nil {
		return nil, nil, fmt.Errorf("witness %s: %w", w.Name(), err)
	}
	if len(path) > maxProof {
		return nil, nil, fmt.Errorf("%w %s: a proof of %d lines", audit.ErrWitness, w.Name(), len(path))
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", from)
	for _, h := range path {
		body.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	body.WriteByte('\n')
	body.Write(signed)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.prefix+"/add-checkpoint", &body)
	if err != nil {
		return nil, nil, fmt.Errorf("%w %s: %w", audit.ErrWitness, w.Name(), err)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%w %s: %w", audit.ErrWitness, w.Name(), err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil || len(answer) > maxAnswer {
		return nil, nil, fmt.Errorf("%w %s: %w", audit.ErrWitness, w.Name(), errors.Join(err, errors.New("its answer could not be read whole")))
	}
	switch res.StatusCode {
	case http.StatusOK:
		return answer, nil, nil
	case http.StatusConflict:
		size, err := sizeOf(answer)
		if err != nil {
			return nil, nil, fmt.Errorf("%w %s: it disagrees about the size and does not say how", audit.ErrWitness, w.Name())
		}
		return nil, &size, nil
	}
	if res.StatusCode == http.StatusUnprocessableEntity {
		return nil, nil, fmt.Errorf("%w: witness %s holds that the log does not continue the %d entries it has seen", audit.ErrRolledBack, w.Name(), from)
	}
	return nil, nil, fmt.Errorf("%w %s: it answered %d%s", audit.ErrWitness, w.Name(), res.StatusCode, hint(res.StatusCode))
}

// sizeOf reads the size in an answer to a conflict.
func sizeOf(answer []byte) (int64, error) {
	text := strings.TrimSuffix(string(answer), "\n")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != text {
		return 0, fmt.Errorf("%w: no size", audit.ErrWitness)
	}
	return size, nil
}

// hint says what a person can do about a refusal.
func hint(status int) string {
	switch status {
	case http.StatusNotFound:
		return " (hint: it does not know this log; give its operator audit.origin and the public key)"
	case http.StatusForbidden:
		return " (hint: it knows another public key of this log)"
	case http.StatusUnprocessableEntity:
		return " (hint: it holds that the log does not continue what it has seen; run `sepsisagent audit verify`)"
	}
	return ""
}
