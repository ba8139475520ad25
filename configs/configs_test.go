// SPDX-License-Identifier: Apache-2.0

package configs

// This file: what Decode accepts and what it refuses, by sentence.

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

type sample struct {
	Name  string  `yaml:"name"`
	Limit float64 `yaml:"limit"`
	Inner struct {
		On bool `yaml:"on"`
	} `yaml:"inner"`
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, in string
		want     error
		says     string
	}{
		{name: "a full document is read", in: "name: a\nlimit: 0.5\ninner: {on: true}\n"},
		{name: "an empty document changes nothing", in: ""},
		{name: "a document of comments changes nothing", in: "# nothing\n"},
		{name: "an unknown key is an error that names line and key", in: "name: a\nlimitt: 1\n", want: ErrUnknownKey, says: `line 2: "limitt"`},
		{name: "an unknown nested key is an error", in: "inner:\n  off: true\n", want: ErrUnknownKey, says: `line 2: "off"`},
		{name: "a wrong type is an error", in: "limit: much\n", want: ErrSyntax, says: "line 1"},
		{name: "a duplicate key is an error", in: "name: a\nname: b\n", want: ErrSyntax, says: "already defined"},
		{name: "a second document is an error", in: "name: a\n---\nname: b\n", want: ErrDocuments, says: "line 2"},
		{name: "broken YAML is an error", in: "name: [a\n", want: ErrSyntax},
		{name: "a huge file is an error", in: "name: " + strings.Repeat("a", MaxBytes), want: ErrTooLarge},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := sample{Name: "default", Limit: 2}
			err := Decode([]byte(tc.in), &got)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err != nil {
				if !strings.Contains(err.Error(), tc.says) {
					t.Errorf("error %q does not say %q", err, tc.says)
				}
				if strings.Contains(err.Error(), "sample") {
					t.Errorf("error %q names a Go type", err)
				}
			}
		})
	}
}

func TestDecodeKeepsDefaultsOfKeysThatAreAbsent(t *testing.T) {
	got := sample{Name: "default", Limit: 2}
	if err := Decode([]byte("limit: 3\n"), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "default" || got.Limit != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestEmbeddedFoldersExist(t *testing.T) {
	for _, name := range []string{"codes", "rules", "model", "config.yaml"} {
		if _, err := fs.Stat(FS, name); err != nil {
			t.Error(err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: a\nlimit: 0.5\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("---\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var into sample
		if err := Decode(data, &into); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
