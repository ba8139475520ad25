// SPDX-License-Identifier: Apache-2.0

package main

// This file: `model card`: complete, readable by machines, and open to what
// only a site knows.

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/world"
)

func TestTheCardAsJSONHasEveryAttributeOnce(t *testing.T) {
	m, err := openModel("")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printCardJSON(&out, m, ""); err != nil {
		t.Fatal(err)
	}
	var card struct {
		Attributes []world.Attribute `json:"attributes"`
	}
	if err := json.Unmarshal(out.Bytes(), &card); err != nil {
		t.Fatal(err)
	}
	if len(card.Attributes) != 31 {
		t.Fatalf("%d attributes, want 31", len(card.Attributes))
	}
	for i, a := range card.Attributes {
		if a.ID != i+1 || a.Value == "" {
			t.Errorf("attribute %d: %+v", i+1, a)
		}
	}
}

func TestASiteAddsToTheCardByAFile(t *testing.T) {
	m, err := openModel("")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, yaml string
		want       error
	}{
		{"its own contact", "1: Example Hospital, cds@example.org\n", nil},
		{"a number that is measured", "21: AUROC 0.99\n", world.ErrSiteAttribute},
		{"no such number", "40: x\n", world.ErrSiteAttribute},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "site.yaml")
			if err := os.WriteFile(file, []byte(c.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			card, err := cardOf(m, file)
			if !errors.Is(err, c.want) {
				t.Fatal(err)
			}
			if c.want == nil && !strings.Contains(string(card), "Example Hospital") {
				t.Error("the card does not show what the site says")
			}
		})
	}
}
