// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the way of a folder's bytes into the spill. One goroutine cuts
// them into chunks (cutting.go), as many as there are cores decode, and one
// files what they found, in the order of the lines.

import (
	"bytes"
	"cmp"
	"context"
	"runtime"
	"sync"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// chunk is a run of whole lines of one file.
type chunk struct {
	file, line int // line: number of the first one
	data       []byte
	tooLong    bool  // stands for one line over maxLine
	end        int64 // of the file, read up to here
	lines      int   // ends of lines in data
	resources  []readResource
	store      *store        // of the resources
	read       chan struct{} // closed when resources is filled
	err        error         // ends the reading
}

// readResource is one line with what decoding made of it.
type readResource struct {
	head
	line    int
	raw     []byte
	entry   *entry // set where the decoded form says all
	charted Charting
}

// folderReader is the state of one pass over the files.
type folderReader struct {
	m       *Mapper
	f       *Folder
	inputs  []input
	options FolderOptions
	at      position
	saved   int64 // Folder.Bytes at the last checkpoint
}

// position is up to where the files were filed.
type position struct {
	File   int
	Line   int   // the next line
	Offset int64 // in the file, after decompression
}

// read fills the spill, from where an earlier reader was killed.
func (r *folderReader) read(ctx context.Context) error {
	r.at.Line = 1
	whole, err := r.resume()
	if err != nil || whole {
		return err
	}
	if err := r.files(ctx); err != nil {
		return err
	}
	return r.checkpoint(true)
}

func (r *folderReader) files(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	todo := make(chan *chunk, workers)
	order := make(chan *chunk, 2*workers)
	var group sync.WaitGroup
	group.Go(func() {
		defer close(todo)
		defer close(order)
		r.cut(ctx, todo, order, r.at)
	})
	for range workers {
		group.Go(func() {
			for c := range todo {
				r.m.readChunk(c)
				close(c.read)
			}
		})
	}
	err := r.collect(ctx, order)
	cancel()
	group.Wait()
	return err
}

// byteOrderMark begins files of some exporters; JSON lets a reader pass it over.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readChunk decodes the lines of a chunk.
func (m *Mapper) readChunk(c *chunk) {
	s := scans.Get().(*scan)
	defer scans.Put(s)
	s.store = stores.Get().(*store)
	defer func() { s.store = nil }()
	c.store = s.store
	c.resources = s.store.read.take(c.lines + 1)[:0] // the last line of a file may have no end
	rest := c.data
	if c.line == 1 {
		rest = bytes.TrimPrefix(rest, byteOrderMark)
	}
	for n := c.line; len(rest) > 0; n++ {
		raw := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			raw, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if raw = bytes.TrimRight(raw, "\r "); len(raw) > 0 {
			c.resources = append(c.resources, m.readResource(s, raw, n))
		}
	}
}

// readResource decodes one line. What the spill cannot hold decoded is kept as
// received and decoded again by Add, which knows what to say of it.
func (m *Mapper) readResource(s *scan, raw []byte, line int) readResource {
	s.resource(raw, m.want)
	out := readResource{head: s.head, line: line, raw: raw}
	if out.fault != "" || out.id == "" || out.kind != kindAdministration && (out.kind != kindObservation || !out.wanted) {
		return out
	}
	if kind, id := splitReference(out.patient); id == "" || kind != "Patient" && kind != "" {
		return out
	}
	d, err := s.decoded(m, s.raw)
	if err != nil {
		return out
	}
	if out.kind == kindAdministration {
		out.charted = m.charted(&out.head, d)
	}
	if d.contained == nil && d.specimens == nil {
		out.entry = s.store.newEntry()
		out.entry.fill(&out.head, d, raw, state.Origin{Via: "folder", Line: line})
		for i := range d.records {
			d.records[i].Type, d.records[i].ID = out.kind, out.id
		}
	}
	return out
}

// charted says what an administration shows its hospital to chart.
func (m *Mapper) charted(h *head, d *decoded) (c Charting) {
	if h.hasRate {
		c.Infusions++
	}
	if h.hasRate || h.hasDose {
		if spec, _ := m.x.drugOf(&d.records[0]); spec != nil && spec.Dose == "volume" && spec.Ignore == "" {
			c.Fluids++
		}
	}
	return c
}

// collect files the chunks in order.
func (r *folderReader) collect(ctx context.Context, order <-chan *chunk) error {
	for c := range order {
		if c.err != nil {
			return c.err
		}
		select {
		case <-c.read:
		case <-ctx.Done():
			return ctx.Err()
		}
		if c.tooLong {
			r.fault(&head{}, faultTooLong, c.file, c.line)
		}
		for i := range c.resources {
			if err := r.file(c.file, &c.resources[i]); err != nil {
				return err
			}
		}
		if c.store != nil {
			c.store.release()
		}
		if cap(c.data) > 0 && cap(c.data) <= 2*chunkBytes {
			chunkBuffers.Put(&c.data) // nothing filed refers to it
		}
		if c.file != r.at.File {
			r.at = position{File: c.file}
		}
		r.f.Bytes += c.end - r.at.Offset
		r.at.Offset, r.at.Line = c.end, c.line+c.lines
		if r.options.Progress != nil {
			r.options.Progress(r.f.Bytes)
		}
		if r.options.Work != "" && r.f.Bytes-r.saved >= cmp.Or(r.options.every, checkpointBytes) {
			if err := r.checkpoint(false); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// file routes one resource: to its patient, to the shared ones, or nowhere.
func (r *folderReader) file(file int, in *readResource) error {
	h := &in.head
	switch {
	case h.fault == faultBroken || h.fault == faultNotAnObj || h.fault != "" && h.patient == "" && h.kind != "Patient":
		r.fault(h, h.fault, file, in.line)
		return nil
	case h.kind == "":
		r.fault(h, "no resourceType", file, in.line)
		return nil
	}
	r.f.asked[h.kind] = true
	patient := ""
	switch h.kind {
	case "Patient":
		patient = h.id
	case "Medication", "Location":
		if r.look(h, in.raw, file, in.line) {
			return r.f.spill.raw("", file, in.line, in.raw)
		}
		return nil
	default:
		_, patient = splitReference(h.patient)
	}
	switch {
	case patient == "" && decoders[h.kind] == nil:
		r.f.Read.Read++
		r.f.Read.Ignored++
		r.f.Read.Reasons[reasonNotRead]++
		return nil
	case patient == "":
		r.fault(h, reasonNoPatient, file, in.line)
		return nil
	}
	if h.kind == "Encounter" {
		_, parent := splitReference(h.partOf)
		hospital := ""
		if h.provider != "" {
			kind, id := splitReference(h.provider)
			hospital = kind + "/" + id
		}
		r.f.spill.encounter(patient, h.id, hospital, parent)
	}
	if in.charted != (Charting{}) {
		_, at := splitReference(h.encounter)
		r.f.spill.chart(patient, at, in.charted)
	}
	switch {
	case in.entry != nil:
		return r.f.spill.entry(patient, file, in.entry)
	case h.kind == kindObservation && !h.wanted && h.fault == "":
		r.f.spill.pass(patient)
		return nil
	}
	return r.f.spill.raw(patient, file, in.line, in.raw)
}

// look takes a resource that others refer to; false when it is faulty.
func (r *folderReader) look(h *head, raw []byte, file, line int) bool {
	d, err := r.m.decode(h, raw)
	if err != nil {
		r.fault(h, err.Error(), file, line)
		return false
	}
	r.f.shared.newest(newEntry(h, d, raw, state.Origin{}))
	r.f.Read.Read++
	r.f.Read.Used++
	return true
}

func (r *folderReader) fault(h *head, reason string, file, line int) {
	r.f.Read.Read++
	r.f.Read.Rejected++
	r.f.Read.Reasons[reason]++
	if len(r.f.Rejects) < MaxRejects {
		r.f.Rejects = append(r.f.Rejects, state.Reject{Type: h.kind, ID: h.id, Reason: reason,
			Origin: state.Origin{Via: "folder", Key: r.f.names[file], Line: line}})
	}
}
