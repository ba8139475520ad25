// SPDX-License-Identifier: Apache-2.0

package main

// This file: `curriculum serve` from start to end, as a training engine meets it.

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// firstLine waits for the first line that a command writes.
type firstLine struct {
	line chan string
	text strings.Builder
	told bool
}

func (w *firstLine) Write(p []byte) (int, error) {
	w.text.Write(p)
	if line, _, whole := strings.Cut(w.text.String(), "\n"); whole && !w.told {
		w.told = true
		w.line <- line
	}
	return len(p), nil
}

func TestCurriculumServePlaysAnEpisodeAndEndsInOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.parquet")
	sepsisagent(t, "cohort", "build", "--fhir", synthetic(t), "--out", file).want(exitOK)
	ctx, stop := context.WithCancel(t.Context())
	out := &firstLine{line: make(chan string, 1)}
	done := make(chan int, 1)
	go func() {
		done <- runContext(ctx, []string{"curriculum", "serve", "--addr", "127.0.0.1:0", "--cohort", file, "--sessions", "2", "--seed", "9", "--steps", "2"}, strings.NewReader(""), out, io.Discard)
	}()
	var url string
	select {
	case url = <-out.line:
	case code := <-done:
		t.Fatalf("exit status %d before it served", code)
	case <-time.After(time.Minute):
		t.Fatal("it does not serve")
	}
	resp, err := http.Get(url + "/metadata")
	if err != nil {
		t.Fatal(err)
	}
	var about struct{ Name, Version string }
	if err := json.NewDecoder(resp.Body).Decode(&about); err != nil || about.Name != "sepsis_icu" || about.Version == "" {
		t.Errorf("metadata: %v %+v", err, about)
	}
	resp.Body.Close()

	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	ask := func(frame string) (r struct {
		Type string
		Data struct {
			Observation struct {
				StepsLeft int `json:"steps_left"`
			}
			Reward   *float64
			Done     bool
			Metadata struct {
				Seed uint64
				Task string
			}
		}
	}) {
		if err := conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		_, data, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(`{"type":"reset"}`); r.Data.Metadata.Seed != 9 || r.Data.Metadata.Task != "cohort" || r.Data.Observation.StepsLeft != 2 {
		t.Errorf("the first reset: %+v", r)
	}
	r := ask(`{"type":"step","data":{"message":"hm"}}`)
	for turn := 0; !r.Data.Done; turn++ {
		if r = ask(`{"type":"step","data":{"message":"hm"}}`); turn > 200 || r.Data.Reward == nil {
			t.Fatalf("turn %d: %+v", turn, r)
		}
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit status %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestCurriculumServeRefusesWhatItCannotServe(t *testing.T) {
	sepsisagent(t, "curriculum", "serve", "--sessions", "0").want(exitMisuse).says("--sessions")
	sepsisagent(t, "curriculum", "serve", "--steps", "0").want(exitMisuse).says("--steps")
	sepsisagent(t, "curriculum", "serve", "--sessions", "5000").want(exitFailed).says("5000 sessions")
	sepsisagent(t, "curriculum", "serve", "--cohort", "/nonexistent.parquet").want(exitFailed).says("nonexistent.parquet")
	sepsisagent(t, "curriculum", "serve", "--addr", "127.0.0.1:99999").want(exitFailed).says("--addr")
	sepsisagent(t, "curriculum", "serve", "--model", t.TempDir()).want(exitFailed)
}
