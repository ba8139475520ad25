// SPDX-License-Identifier: Apache-2.0

package trust

// This file: calls that come while the key set is being read.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCallsWaitForAKeySetThatIsBeingRead: after a start, and after a change of
// keys, several calls come before the key set does. None is refused for that,
// and the set is read once.
func TestCallsWaitForAKeySetThatIsBeingRead(t *testing.T) {
	var reads atomic.Int32
	kids := [2]string{"old", "new"}
	asked, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		kid := kids[min(int(reads.Add(1)), 2)-1]
		asked <- struct{}{}
		<-answer
		_, _ = io.WriteString(w, keySet(ecJWK(kid, ecKey, "P-384")))
	}))
	defer server.Close()
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	s := newKeySource(server.URL, server.Client(), func() time.Time { mu.Lock(); defer mu.Unlock(); return now })
	for round, kid := range kids {
		faults := make(chan error, 8)
		find := func() {
			_, err := s.find(context.Background(), kid, kindP384)
			faults <- err
		}
		go find()
		<-asked // the read is under way
		for range 7 {
			go find()
		}
		time.AfterFunc(50*time.Millisecond, func() { answer <- struct{}{} })
		for range 8 {
			if err := <-faults; err != nil {
				t.Error(fmt.Errorf("kid %s: %w", kid, err))
			}
		}
		if n := reads.Load(); int(n) != round+1 {
			t.Errorf("%d reads", n)
		}
		mu.Lock()
		now = now.Add(refetchEvery + time.Second)
		mu.Unlock()
	}
}
