// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,true,null,"x\u00e4\n"]}`, `{"a":1,"\u0061":2}`, `[[[[]]]]`, ` {} `, `"\ud800"`, `01`, `{"a":{"a":{}}}`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkJSON(data)
		valid := json.Valid(data) && utf8.Valid(data)
		if err == nil && !valid {
			t.Fatalf("accepted what is not JSON: %q", data)
		}
		if err == nil {
			// A number may be larger than any float64: that is for whoever reads it.
			d := json.NewDecoder(bytes.NewReader(data))
			d.UseNumber()
			var v any
			if d.Decode(&v) != nil {
				t.Fatalf("accepted what cannot be read: %q", data)
			}
			return
		}
		if !errors.Is(err, ErrNotJSON) {
			t.Fatal(err)
		}
		if text := err.Error(); valid && !strings.Contains(text, "twice") && !strings.Contains(text, "too deep") {
			t.Fatalf("refused good JSON %q: %v", data, err)
		}
	})
}

// FuzzOpenJSON holds the members that one pass finds against those of a pass for
// each level.
func FuzzOpenJSON(f *testing.F) {
	for _, s := range []string{`{"a":{"b":{"c":[{"d":1}]},"e":null},"f":[{"g":1}],"h":{}}`, `[{"a":1}]`, `7`, ` {} `, `{"\u0061":{"\u0062": 1 }}`, `{"a":{"b":1}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := openJSON(data)
		checked := checkJSON(data)
		if checked != nil {
			if err == nil || err.Error() != checked.Error() {
				t.Fatalf("%q: %v, want %v", data, err, checked)
			}
			return
		}
		want, wantErr := members(data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, want %v", data, err, wantErr)
		}
		if !reflect.DeepEqual(got.object, want) {
			t.Fatalf("%q: %v, want %v", data, got.object, want)
		}
		for name := range want {
			child, err := got.child(name)
			wantChild, wantErr := want.child(name)
			if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(child, wantChild) {
				t.Fatalf("%q: %s is %v, %v, want %v, %v", data, name, child, err, wantChild, wantErr)
			}
		}
	})
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"hook":"patient-view","hookInstance":"d1577c69-dfbe-44ad-ba6d-3e05e953b2ea","fhirServer":"https://a.b/c","context":{"userId":"Practitioner/1","patientId":"1"},"prefetch":{"patient":null},"fhirAuthorization":{"access_token":"t","token_type":"Bearer","expires_in":300,"scope":"s","subject":"x"}}`))
	f.Add([]byte(`{"context":{},"prefetch":{"a":{"b":[1,2,{"c":"}"}]}},"extension":{"x":{}}}`))
	f.Add([]byte(`{"CONTEXT":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeRequest(body)
		if err == nil {
			err = r.Validate()
		}
		if err != nil {
			if got := faultOf(err); got.status != 400 {
				t.Fatalf("%d for a bad request: %v", got.status, err)
			}
			return
		}
		if r.Context.PatientID == "" || strings.ContainsAny(r.Context.PatientID, "/?#%\n") || r.Hook != HookPatientView && !isOrderHook(r.Hook) {
			t.Fatalf("%+v", r)
		}
		for k, v := range r.Prefetch {
			if !json.Valid(v) {
				t.Fatalf("prefetch %q is not JSON: %q", k, v)
			}
		}
	})
}

func TestObjectsWithManyMembersAreCheckedForDuplicatesToo(t *testing.T) {
	var b strings.Builder
	b.WriteString("{")
	for i := range 100 {
		b.WriteString(`"k` + strings.Repeat("x", i) + `":{"a":1,"b":2},`)
	}
	if err := checkJSON([]byte(b.String() + `"last":1}`)); err != nil {
		t.Error(err)
	}
	if err := checkJSON([]byte(b.String() + `"kxxx":1}`)); err == nil {
		t.Error("a duplicate among many members was not seen")
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	a := FHIRAuthorization{AccessToken: "hush"}
	raw, _ := json.Marshal(a)
	for _, s := range []string{string(raw), strings.TrimSpace(a.AccessToken.String()), a.AccessToken.GoString()} {
		if strings.Contains(s, "hush") {
			t.Error(s)
		}
	}
}
