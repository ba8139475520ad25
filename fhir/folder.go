// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Folder, a bulk export as NDJSON files, read once from start to
// end and handed out patient by patient. File names mean nothing; every line
// says itself what it is.

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrFolder: a folder cannot be read as a bulk export.
var ErrFolder = errors.New("folder of NDJSON files")

// maxLine is the longest line read, 32 MiB; a longer one is no resource.
const maxLine = 32 << 20

// Folder is a bulk export, partitioned by patient. Close removes its
// temporary file. Bag may be called concurrently.
type Folder struct {
	mapper   *Mapper
	spill    *spill
	shared   shared
	charting map[string]Charting
	total    Charting
	asked    map[string]bool
	patients []string
	// Read sums the lines that belong to no patient; the others are counted in
	// each Chart. Shared resources (medications, places) count as used.
	Read state.Tally
	// Rejects are the faulty lines that could not be given to a patient.
	Rejects []state.Reject
	// Bytes is the size of what was read, after decompression.
	Bytes int64
}

// OpenFolder reads every *.ndjson and *.ndjson.gz file under dir. A gzip file
// that is cut short fails the whole folder with ErrTruncated: half a chart
// looks like a chart. A faulty line is counted, with file and line, and
// skipped. Memory stays bounded: what belongs to patients goes to a temporary
// file.
func (m *Mapper) OpenFolder(ctx context.Context, dir string) (*Folder, error) {
	files, err := ndjson(dir)
	if err != nil {
		return nil, err
	}
	s, err := newSpill()
	if err != nil {
		return nil, err
	}
	r := &folderReader{m: m, f: &Folder{mapper: m, spill: s, charting: map[string]Charting{}, asked: map[string]bool{},
		Read: state.Tally{Reasons: map[string]int{}}}, hospitals: map[string]string{}, parents: map[string]string{}, charted: map[string]Charting{}}
	for i, path := range files {
		name, _ := filepath.Rel(dir, path)
		if err := r.file(ctx, path, i, filepath.ToSlash(name)); err != nil {
			s.close()
			return nil, err
		}
	}
	if err := s.flush(); err != nil {
		s.close()
		return nil, err
	}
	r.finish()
	return r.f, nil
}

// ndjson lists the files in name order, whatever the file system's order.
func ndjson(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".ndjson") || strings.HasSuffix(path, ".ndjson.gz")) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no *.ndjson or *.ndjson.gz file in %s (hint: name the folder that holds the export)", ErrFolder, dir)
	}
	slices.Sort(files)
	return files, nil
}

// Close removes the temporary file.
func (f *Folder) Close() error { return f.spill.close() }

// Patients lists the patient ids in order.
func (f *Folder) Patients() []string { return slices.Clone(f.patients) }

// Bag returns a new bag with all resources of one patient.
func (f *Folder) Bag(patientID string) (*Bag, error) {
	b := NewBag(patientID)
	b.shared, b.charting = &f.shared, f.chartingAt
	for kind := range f.asked {
		b.asked[kind] = true
	}
	err := f.spill.read(patientID, func(file, line int, raw []byte) error {
		h := inspectValid(raw, f.mapper.want) // a broken line never gets this far
		err := f.mapper.add(b, &h, raw, state.Origin{Via: "folder", Key: f.spill.names[file], Line: line}, nil)
		if errors.Is(err, ErrWrongPatient) || errors.Is(err, ErrMalformed) {
			return nil // recorded in the bag
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("patient %s: %w", patientID, err)
	}
	if n := f.spill.skipped[patientID]; n > 0 {
		b.tally.Read += n
		b.tally.Ignored += n
		b.tally.Reasons[reasonNotCoded] += n
	}
	if b.tally.Read == 0 {
		return nil, fmt.Errorf("%w: no Patient/%s in this folder", ErrNoPatient, patientID)
	}
	return b, nil
}

// Each calls use for every patient in order. It stops at the first error.
func (f *Folder) Each(ctx context.Context, use func(*Bag) error) error {
	for _, id := range f.patients {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := f.Bag(id)
		if err != nil {
			return err
		}
		if err := use(b); err != nil {
			return err
		}
	}
	return nil
}

// chartingAt says what a hospital charts; for an unknown one, what the whole
// folder does.
func (f *Folder) chartingAt(hospital string) (Charting, bool) {
	if hospital == "" {
		return f.total, true
	}
	return f.charting[hospital], true
}

// folderReader is the state of one pass over the files.
type folderReader struct {
	m         *Mapper
	f         *Folder
	hospitals map[string]string // Encounter id -> serviceProvider
	parents   map[string]string // Encounter id -> partOf
	charted   map[string]Charting
}

func (r *folderReader) file(ctx context.Context, path string, number int, name string) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	defer in.Close()
	var from io.Reader = bufio.NewReaderSize(in, 1<<18)
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(from)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrFolder, name, gzipError(err))
		}
		from = z
	}
	r.f.spill.names = append(r.f.spill.names, name)
	lines := bufio.NewReaderSize(from, 1<<18)
	for line := 1; ; line++ {
		if line%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		raw, err := readLine(lines)
		if len(raw) > 0 {
			r.f.Bytes += int64(len(raw)) + 1
			if err := r.line(raw, number, line, name); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, bufio.ErrTooLong):
			r.fault(&head{}, faultTooLong, name, line)
		case err != nil:
			return fmt.Errorf("%w: %s after line %d: %w", ErrFolder, name, line-1, gzipError(err))
		}
	}
}

const faultTooLong = "line too long"

// gzipError makes a cut-short file recognisable.
func gzipError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return ErrTruncated
	}
	return err
}

// readLine returns the next line without its end. The slice is valid until
// the next call. A line over maxLine is skipped and ErrTooLong.
func readLine(r *bufio.Reader) ([]byte, error) {
	chunk, err := r.ReadSlice('\n')
	if err == nil || err == io.EOF {
		return trimLine(chunk), err
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	long := append([]byte(nil), chunk...)
	over := false
	for errors.Is(err, bufio.ErrBufferFull) {
		chunk, err = r.ReadSlice('\n')
		if over = over || len(long)+len(chunk) > maxLine; !over {
			long = append(long, chunk...)
		}
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	if over {
		return nil, bufio.ErrTooLong
	}
	return trimLine(long), err
}

func trimLine(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r' || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return b
}

// line routes one resource: to its patient, to the shared ones, or nowhere.
func (r *folderReader) line(raw []byte, file, line int, name string) error {
	h := inspect(raw, r.m.want)
	switch {
	case h.fault == faultBroken || h.fault == faultNotAnObj:
		r.fault(&h, h.fault, name, line)
		return nil
	case h.fault != "" && h.patient == "" && h.kind != "Patient":
		r.fault(&h, h.fault, name, line)
		return nil
	case h.kind == "":
		r.fault(&h, "no resourceType", name, line)
		return nil
	}
	r.f.asked[h.kind] = true
	patient := ""
	switch h.kind {
	case "Patient":
		patient = h.id
	case "Medication", "Location":
		return r.lookup(&h, raw, name, line)
	default:
		_, patient = splitReference(h.patient)
	}
	r.facility(&h, raw)
	switch {
	case patient != "":
		return r.f.spill.add(patient, file, line, raw, h.kind == "Observation" && !h.wanted && h.fault == "")
	case decoders[h.kind] == nil:
		r.f.Read.Read++
		r.f.Read.Ignored++
		r.f.Read.Reasons[reasonNotRead]++
	default:
		r.fault(&h, reasonNoPatient, name, line)
	}
	return nil
}

func (r *folderReader) lookup(h *head, raw []byte, name string, line int) error {
	d, err := r.m.decode(h, raw)
	if err != nil {
		r.fault(h, err.Error(), name, line)
		return nil
	}
	r.f.shared.put(h.kind+"/"+h.id, d.lookup)
	r.f.Read.Read++
	r.f.Read.Used++
	return nil
}

func (r *folderReader) fault(h *head, reason, name string, line int) {
	r.f.Read.Read++
	r.f.Read.Rejected++
	r.f.Read.Reasons[reason]++
	r.f.Rejects = append(r.f.Rejects, state.Reject{Type: h.kind, ID: h.id, Reason: reason, Origin: state.Origin{Via: "folder", Key: name, Line: line}})
}

// facility notes what is charted at which encounter.
func (r *folderReader) facility(h *head, raw []byte) {
	switch h.kind {
	case "Encounter":
		if h.provider != "" {
			kind, id := splitReference(h.provider)
			r.hospitals[h.id] = kind + "/" + id
		}
		if h.partOf != "" {
			_, r.parents[h.id] = splitReference(h.partOf)
		}
	case "MedicationAdministration":
		if !h.hasRate && !h.hasDose {
			return
		}
		_, id := splitReference(h.encounter)
		c := r.charted[id]
		if h.hasRate {
			c.Infusions++
		}
		if d, err := r.m.decode(h, raw); err == nil && len(d.records) == 1 {
			if spec, _ := r.m.x.drugOf(&d.records[0]); spec != nil && spec.Dose == "volume" && spec.Ignore == "" {
				c.Fluids++
			}
		}
		r.charted[id] = c
	}
}

// finish sums charting by hospital and lists the patients.
func (r *folderReader) finish() {
	for encounter, c := range r.charted {
		r.f.total.Infusions += c.Infusions
		r.f.total.Fluids += c.Fluids
		hospital := ""
		for id, n := encounter, 0; n < 4 && id != "" && hospital == ""; id, n = r.parents[id], n+1 {
			hospital = r.hospitals[id]
		}
		sum := r.f.charting[hospital]
		sum.Infusions += c.Infusions
		sum.Fluids += c.Fluids
		r.f.charting[hospital] = sum
	}
	r.f.patients = slices.Sorted(maps.Keys(r.f.spill.index))
}
