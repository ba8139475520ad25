// SPDX-License-Identifier: Apache-2.0

package main

// This file: the codes of a patient that the code maps do not know. Most values
// that an informatician misses are charted under one of them. They are counted
// by a second reading of the input, since the first skips them undecoded.

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/sepsisagent/sepsisagent/engine/state"
	"github.com/sepsisagent/sepsisagent/fhir"
)

// unreadCode is one code, of Observations or MedicationAdministrations, that
// no code map knows.
type unreadCode struct {
	Type   string `json:"type"`
	System string `json:"system"`
	Code   string `json:"code"`
	Text   string `json:"text"`
	Unit   string `json:"unit"` // of its newest value
	Count  int    `json:"count"`
	Newest string `json:"newest"` // as received
}

// sketch is as much of a resource as is needed to name what it is about.
type sketch struct {
	ResourceType string       `json:"resourceType"`
	Code         conceptText  `json:"code"`
	Medication   *conceptText `json:"medicationCodeableConcept"`
	Component    []struct {
		Code  conceptText  `json:"code"`
		Value quantityText `json:"valueQuantity"`
	} `json:"component"`
	Value     quantityText `json:"valueQuantity"`
	Effective string       `json:"effectiveDateTime"`
	Period    struct {
		Start string `json:"start"`
	} `json:"effectivePeriod"`
	Dosage struct {
		Rate quantityText `json:"rateQuantity"`
		Dose quantityText `json:"dose"`
	} `json:"dosage"`
}

type conceptText struct {
	Coding []struct{ System, Code, Display string } `json:"coding"`
	Text   string                                   `json:"text"`
}

type quantityText struct {
	Unit string `json:"unit"`
	Code string `json:"code"`
}

// unreadCodes reads a folder of NDJSON or a Bundle again and counts, for one
// patient, the codes that mapper does not recognise, the commonest first.
func unreadCodes(ctx context.Context, mapper *fhir.Mapper, path, patient string) ([]unreadCode, error) {
	count := map[string]*unreadCode{}
	see := func(raw []byte) {
		var s sketch
		if json.Unmarshal(raw, &s) == nil {
			s.count(mapper, count)
		}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--fhir: %w", err)
	case info.IsDir():
		err = eachLine(ctx, path, []byte(`"Patient/`+patient+`"`), see)
	default:
		err = eachEntry(path, see)
	}
	if err != nil {
		return nil, err
	}
	out := make([]unreadCode, 0, len(count))
	for _, c := range count {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b unreadCode) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Type, b.Type), cmp.Compare(a.System, b.System), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
	})
	return out, nil
}

// count notes what of one resource is not recognised.
func (s *sketch) count(mapper *fhir.Mapper, into map[string]*unreadCode) {
	at := cmp.Or(s.Effective, s.Period.Start)
	note := func(c conceptText, q quantityText) {
		r := state.Record{Type: s.ResourceType, Text: c.Text}
		for _, k := range c.Coding {
			r.Codes = append(r.Codes, state.Coding{System: k.System, Code: k.Code, Display: k.Display})
			r.Text = cmp.Or(r.Text, k.Display)
		}
		if mapper.Recognises(&r) {
			return
		}
		u := unreadCode{Type: r.Type, Text: r.Text}
		if len(r.Codes) > 0 {
			u.System, u.Code = r.Codes[0].System, r.Codes[0].Code
		}
		key := strings.Join([]string{u.Type, u.System, u.Code, u.Text}, "\x00")
		if into[key] == nil {
			into[key] = &u
		}
		n := into[key]
		n.Count++
		if at >= n.Newest {
			n.Newest, n.Unit = at, cmp.Or(q.Code, q.Unit)
		}
	}
	switch s.ResourceType {
	case "Observation":
		if len(s.Component) == 0 {
			note(s.Code, s.Value)
		}
		for i := range s.Component {
			note(s.Component[i].Code, s.Component[i].Value)
		}
	case "MedicationAdministration":
		if s.Medication != nil { // by reference: the Medication says what it is
			note(*s.Medication, quantityText{cmp.Or(s.Dosage.Rate.Unit, s.Dosage.Dose.Unit), cmp.Or(s.Dosage.Rate.Code, s.Dosage.Dose.Code)})
		}
	}
}

// eachLine gives every line of a folder's NDJSON files that names the patient.
func eachLine(ctx context.Context, dir string, patient []byte, see func([]byte)) error {
	var files []string
	for _, pattern := range []string{"*.ndjson", "*.ndjson.gz"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return fmt.Errorf("--fhir: %w", err)
		}
		files = append(files, found...)
	}
	for _, path := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := eachLineOf(path, patient, see); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

func eachLineOf(path string, patient []byte, see func([]byte)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var from io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if from, err = gzip.NewReader(file); err != nil {
			return err
		}
	}
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if bytes.Contains(line, patient) {
			see(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// eachEntry gives every resource of a Bundle.
func eachEntry(path string, see func([]byte)) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--fhir: %w", err)
	}
	var bundle struct {
		Entry []struct {
			Resource json.RawMessage `json:"resource"`
		} `json:"entry"`
	}
	if err := json.Unmarshal(data, &bundle); err != nil {
		return fmt.Errorf("--fhir: %w", err)
	}
	for _, e := range bundle.Entry {
		see(e.Resource)
	}
	return nil
}

// explainUnread lists the codes that nothing was made of.
func (l *lines) explainUnread(all []unreadCode) {
	if len(all) == 0 {
		return
	}
	const most = 40
	l.say("\ncodes that no code map knows (whole record of the patient): a value you miss may be charted under one of them")
	l.table("  COUNT\tTYPE\tCODE\tTEXT\tUNIT\tNEWEST", func(t io.Writer) {
		for _, u := range all[:min(most, len(all))] {
			fmt.Fprintf(t, "  %d\t%s\t%s\t%s\t%s\t%s\n", u.Count, u.Type, shortCode(u.System+"|"+u.Code), u.Text, u.Unit, u.Newest)
		}
	})
	if len(all) > most {
		l.say("  and %d more codes (all of them: --format json)", len(all)-most)
	}
}
