// SPDX-License-Identifier: Apache-2.0

package main

// This file: an instant is the same instant in every zone.

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

var utcTime = regexp.MustCompile(`"2026-03-01T\d\d:\d\d:00Z"`)

// TestZonesDoNotMatter writes one chart as hospitals of other zones would, and
// asks at times written in others again: the timeline is the same to the byte.
func TestZonesDoNotMatter(t *testing.T) {
	bundle, err := os.ReadFile(filepath.Join("testdata", "explain", "bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	var want string
	zones := []*time.Location{time.UTC, time.FixedZone("", -10*3600), time.FixedZone("", 5*3600+1800), time.FixedZone("", 14*3600)}
	for i, zone := range zones {
		path := filepath.Join(t.TempDir(), "bundle.json")
		shifted := utcTime.ReplaceAllFunc(bundle, func(text []byte) []byte {
			u, err := time.Parse(`"`+time.RFC3339+`"`, string(text))
			if err != nil {
				t.Fatal(err)
			}
			return []byte(u.In(zone).Format(`"` + time.RFC3339 + `"`))
		})
		if i > 0 && bytes.Equal(shifted, bundle) {
			t.Fatal("nothing was written in another zone")
		}
		if err := os.WriteFile(path, shifted, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, asked := range zones {
			var d decisionObject
			sepsisagent(t, "decide", "--fhir", path, "--at", at.In(asked).Format(time.RFC3339), "--format", "json").want(exitOK).object(&d)
			if want == "" {
				want = d.Timeline
			}
			if d.Timeline != want || !d.At.Equal(at) {
				t.Errorf("charted in %s, asked in %s: timeline %s, want %s", zone, asked, d.Timeline, want)
			}
			if testing.Short() {
				break
			}
		}
	}
}
