// SPDX-License-Identifier: Apache-2.0

package fhir

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// slowPage takes a page apart a level at a time: whether it is JSON, its
// members, its entries, their members, and each resource by itself.
func slowPage(m *Mapper, raw []byte) (p page, kind string, broken, lists bool) {
	if !json.Valid(raw) {
		return p, "", true, true
	}
	lists = true
	eachMember(raw, func(name string, value []byte) {
		switch name {
		case "resourceType":
			kind = text(value)
		case "total":
			p.total, _ = strconv.Atoi(string(value))
		case "link":
			ok := eachElement(value, func(link []byte) {
				said := map[string]string{}
				eachMember(link, func(name string, value []byte) { said[name] = text(value) })
				if said["relation"] == "next" {
					p.next = said["url"]
				}
			})
			lists = lists && ok
		case "entry":
			p.entries = nil
			ok := eachElement(value, func(entry []byte) {
				var e pageEntry
				eachMember(entry, func(name string, value []byte) {
					switch name {
					case "fullUrl":
						e.fullURL = text(value)
					case "search":
						eachMember(value, func(name string, value []byte) {
							if name == "mode" {
								e.mode = text(value)
							}
						})
					case "resource":
						e.head, e.resource = inspect(value, m.want), value
					}
				})
				if e.id == "" && strings.HasPrefix(e.fullURL, "urn:uuid:") {
					e.id = strings.TrimPrefix(e.fullURL, "urn:uuid:")
				}
				p.entries = append(p.entries, e)
			})
			lists = lists && ok
		}
	})
	if kind != "Bundle" {
		p, lists = page{}, true
	}
	return p, kind, false, lists
}

// FuzzReadPage holds the one pass over a page against slowPage.
func FuzzReadPage(f *testing.F) {
	for _, v := range []string{
		``, ` `, `null`, `{}`, `[]`, `{"resourceType":"Bundle"}x`, testPatient, string(page2("https://x/next")), string(bundleOf(observation("8867-4", valueIn("88", "/min")), testEncounter)),
		`{"resourceType":"Bundle","total":9,"entry":null,"link":null}`, `{"resourceType":"Bundle","entry":{},"link":[]}`, `{"resourceType":"Bundle","entry":[],"link":7}`,
		`{"entry":[{"resource":{"resourceType":"Observation","id":"a"}}],"entry":[{"fullUrl":"urn:uuid:b","resource":{"id":"","resourceType":"Observation"},"search":{"mode":"match"}}],"resourceType":"Bundle"}`,
		`{"resourceType":"Bundle","entry":[null,7,{"resource":null},{"resource":{"code":{"coding":[{"code":"8867-4"}]}}},{"resource":{"resourceType":"MedicationAdministration"}}]}`,
		`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}},{"resource":{"id":"x"}}]}`,
		`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation",}}]}`, `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observ`,
	} {
		f.Add([]byte(v))
	}
	m := testMapper(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		want, wantKind, broken, lists := slowPage(m, raw)
		got, kind, err := m.readPage(raw)
		if (err != nil) != (broken || !lists) || err != nil && !errors.Is(err, ErrMalformed) || kind != wantKind {
			t.Fatalf("kind %q, want %q; broken %v, lists %v, but %v", kind, wantKind, broken, lists, err)
		}
		for i := range got.entries { // what was decoded with the page is what decoding it makes
			e := &got.entries[i]
			if was := e.ahead; was.done() {
				var by decoding
				by.d, by.err = m.decode(&e.head, e.resource)
				if !reflect.DeepEqual(was, by) {
					t.Fatalf("%s: got  %+v, %v\nwant %+v, %v", e.resource, was.d, was.err, by.d, by.err)
				}
			}
			e.ahead = decoding{}
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}
