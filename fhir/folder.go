// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: Folder, a bulk export as NDJSON files, read once from start to
// end and handed out patient by patient. File names mean nothing; every line
// says itself what it is.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrFolder: a folder cannot be read as a bulk export.
var ErrFolder = errors.New("folder of NDJSON files")

// MaxRejects is how many faulty lines that belong to nobody are kept with
// their place; further ones are only counted.
const MaxRejects = 1000

// Folder is a bulk export, partitioned by patient. Close closes its temporary
// file. Bag and Part may be called concurrently.
type Folder struct {
	mapper   *Mapper
	spill    *spill
	names    []string // of the files, by number
	shared   shared
	charting map[string]Charting
	total    Charting
	asked    map[string]bool
	parts    []partOf
	patients int
	last     struct {
		sync.Mutex
		number int
		part   *FolderPart
	}
	// Read sums the lines that belong to no patient; the others are counted in
	// each Chart. Shared resources (medications, places) count as used.
	Read state.Tally
	// Rejects are the first MaxRejects faulty lines that could not be given to
	// a patient.
	Rejects []state.Reject
	// Bytes is the size of what was read, after decompression.
	Bytes int64
	// Key tells this export, read by these code maps and this build, from any
	// other; set only where a work folder is used.
	Key string
}

// FolderOptions says how a folder is read.
type FolderOptions struct {
	// Work is an existing folder, private to this export, in which the way so
	// far is kept so that a reader that was killed goes on; it then holds
	// patient data until the caller removes it. Empty: a temporary file that
	// has no name.
	Work string
	// Progress is told how many bytes were read, after decompression. May be
	// nil.
	Progress func(bytes int64)

	every int64 // bytes between checkpoints, for tests; 0: checkpointBytes
}

// partOf is one of several parts of a partition.
type partOf struct{ pile, part, of int }

// OpenFolder reads every *.ndjson and *.ndjson.gz file under dir. A gzip file
// that is cut short fails the whole folder with ErrTruncated: half a chart
// looks like a chart. A faulty line is counted, with file and line, and
// skipped. Memory stays bounded: what belongs to patients goes to a temporary
// file.
func (m *Mapper) OpenFolder(ctx context.Context, dir string) (*Folder, error) {
	return m.OpenFolderWith(ctx, dir, FolderOptions{})
}

// OpenFolderWith is OpenFolder with options.
func (m *Mapper) OpenFolderWith(ctx context.Context, dir string, opt FolderOptions) (*Folder, error) {
	inputs, err := ndjson(dir)
	if err != nil {
		return nil, err
	}
	s, err := openSpill(opt.Work)
	if err != nil {
		return nil, err
	}
	f := &Folder{mapper: m, spill: s, charting: map[string]Charting{}, asked: map[string]bool{}, Read: state.Tally{Reasons: map[string]int{}}}
	for _, in := range inputs {
		f.names = append(f.names, in.Name)
	}
	r := &folderReader{m: m, f: f, inputs: inputs, options: opt}
	if err := r.read(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := f.survey(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return f, nil
}

// input is one file of a folder, as it was when it was read.
type input struct {
	Path     string `json:"-"`
	Name     string
	Size     int64
	Modified int64 // nanoseconds since 1970
}

// ndjson lists the files in name order, whatever the file system's order.
func ndjson(dir string) ([]input, error) {
	var files []input
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".ndjson") && !strings.HasSuffix(path, ".ndjson.gz") {
			return err
		}
		info, err := os.Stat(path) // of what a link points to
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, input{Path: path, Name: filepath.ToSlash(name), Size: info.Size(), Modified: info.ModTime().UnixNano()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no *.ndjson or *.ndjson.gz file in %s (hint: name the folder that holds the export)", ErrFolder, dir)
	}
	slices.SortFunc(files, func(a, b input) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// Close closes the temporary file.
func (f *Folder) Close() error { return f.spill.close() }

// CountPatients is the number of patients in the folder.
func (f *Folder) CountPatients() int { return f.patients }

// Patients lists the patient ids in alphabetical order. It reads all of the
// temporary file; to go through all patients take them part by part.
func (f *Folder) Patients() ([]string, error) {
	seen := map[string]bool{}
	for _, b := range f.spill.blocks {
		r, err := f.spill.read(b)
		if err != nil {
			return nil, err
		}
		err = r.each(func(it item) error {
			if b.Pile != sharedPile {
				seen[it.patient] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// Parts is the number of parts that the folder is taken in.
func (f *Folder) Parts() int { return len(f.parts) }

// FolderPart holds some of the patients, in memory.
type FolderPart struct {
	folder *Folder
	// Patients of this part. Through all parts the order is that of a hash of
	// the id, the same for every folder that holds the same patients.
	Patients []string
	items    map[string][]item
}

// Part reads part number i.
func (f *Folder) Part(i int) (*FolderPart, error) {
	want := f.parts[i]
	p := &FolderPart{folder: f, items: map[string][]item{}}
	for _, b := range f.spill.blocks {
		if b.Pile != want.pile {
			continue
		}
		r, err := f.spill.read(b)
		if err != nil {
			return nil, err
		}
		err = r.each(func(it item) error {
			if want.of > 1 {
				if partNumber(it.patient, want.of) != want.part {
					return nil
				}
				it.text = strings.Clone(it.text) // lets the rest of the block go
			}
			p.items[it.patient] = append(p.items[it.patient], it)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	p.Patients = slices.SortedFunc(maps.Keys(p.items), comparePatients)
	return p, nil
}

// partNumber says in which of several parts of its partition a patient is.
func partNumber(patient string, of int) int {
	return int(patientHash(patient) << partitionBits >> 32 * uint64(of) >> 32)
}

// Bag returns a new bag with all resources of one patient.
func (f *Folder) Bag(patientID string) (*Bag, error) {
	pile := int(patientHash(patientID) >> (64 - partitionBits))
	i := slices.IndexFunc(f.parts, func(p partOf) bool { return p.pile == pile && partNumber(patientID, p.of) == p.part })
	if i < 0 {
		return nil, fmt.Errorf("%w: no Patient/%s in this folder", ErrNoPatient, patientID)
	}
	f.last.Lock()
	defer f.last.Unlock()
	if f.last.part == nil || f.last.number != i {
		p, err := f.Part(i)
		if err != nil {
			return nil, err
		}
		f.last.number, f.last.part = i, p
	}
	return f.last.part.Bag(patientID)
}

// Bag returns a new bag with all resources of one patient.
func (p *FolderPart) Bag(patientID string) (*Bag, error) {
	b := NewBag(patientID)
	b.entries = make(map[resourceName]*entry, len(p.items[patientID]))
	b.names = make([]resourceName, 0, len(p.items[patientID]))
	b.store = stores.Get().(*store)
	b.shared, b.charting = &p.folder.shared, p.folder.chartingAt
	for kind := range p.folder.asked {
		b.asked[kind] = true
	}
	for _, it := range p.items[patientID] {
		if err := p.folder.add(b, it); err != nil {
			return nil, fmt.Errorf("patient %s: %w", patientID, err)
		}
	}
	if b.tally.Read == 0 {
		return nil, fmt.Errorf("%w: no Patient/%s in this folder", ErrNoPatient, patientID)
	}
	return b, nil
}

// Release gives back the memory of a bag that came from a folder, when neither
// the bag nor a chart of it is used any more.
func (b *Bag) Release() {
	if b.store != nil {
		b.store.release()
	}
	*b = Bag{}
}

// add puts an item of the spill into a bag.
func (f *Folder) add(b *Bag, it item) error {
	switch it.tag {
	case tagPassed:
		n := int(it.uvarint())
		b.tally.Read += n
		b.tally.Ignored += n
		b.tally.Reasons[reasonNotCoded] += n
	case tagRaw:
		origin, err := f.origin(&it)
		if err != nil {
			return err
		}
		err = f.mapper.Add(b, []byte(it.text), origin)
		if errors.Is(err, ErrWrongPatient) || errors.Is(err, ErrMalformed) {
			return nil // recorded in the bag
		}
		return err
	case tagEntry:
		origin, err := f.origin(&it)
		if err != nil {
			return err
		}
		e, err := it.entry(b.store)
		if err != nil {
			return err
		}
		e.origin = origin
		b.tally.Read++
		f.mapper.file(b, e)
	}
	return nil
}

func (f *Folder) origin(it *item) (state.Origin, error) {
	file, line := it.uvarint(), it.uvarint()
	if it.bad || file >= uint64(len(f.names)) {
		return state.Origin{}, errDamaged
	}
	return state.Origin{Via: "folder", Key: f.names[file], Line: int(line)}, nil
}

// Each calls use for every patient, part by part. It stops at the first error.
func (f *Folder) Each(ctx context.Context, use func(*Bag) error) error {
	for i := range f.parts {
		p, err := f.Part(i)
		if err != nil {
			return err
		}
		for _, id := range p.Patients {
			if err := ctx.Err(); err != nil {
				return err
			}
			b, err := p.Bag(id)
			if err != nil {
				return err
			}
			if err := use(b); err != nil {
				return err
			}
		}
	}
	return nil
}
