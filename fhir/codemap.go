// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: the YAML form of the code maps, and LoadCodeMaps, which reads,
// checks and joins them. What a code means is data; what is done with the
// meaning is code, elsewhere in this package.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// ErrCodeMap: a code map file is wrong. The message names the file and what
// to mend.
var ErrCodeMap = errors.New("code map")

// codes lists codes by the short name of their system.
type codes map[string][]string

// mapFile is one YAML file. Every section is optional; later files add to
// earlier ones and may not contradict them.
type mapFile struct {
	Version          int                           `yaml:"version"`
	Name             string                        `yaml:"name"`
	Systems          map[string][]string           `yaml:"systems"`
	Prefetch         []string                      `yaml:"prefetch"` // systems whose observation codes prefetch asks for
	Units            unitSpellings                 `yaml:"units"`
	LagMinutes       map[string]float64            `yaml:"lagMinutes"`
	SourceLagMinutes map[string]map[string]float64 `yaml:"sourceLagMinutes"` // by system, then class
	Concepts         []conceptSpec                 `yaml:"concepts"`
	Observations     []observationSpec             `yaml:"observations"`
	Panels           codes                         `yaml:"panels"`
	MethodWords      []methodWord                  `yaml:"methodWords"`
	Specimens        specimenSpec                  `yaml:"specimens"`
	Drugs            []drugSpec                    `yaml:"drugs"`
	LocalWords       []string                      `yaml:"localWords"`
	Routes           map[string]codes              `yaml:"routes"`
	RouteWords       map[string][]string           `yaml:"routeWords"`
	Bolus            *bolusSpec                    `yaml:"bolus"`
	Admins           []adminSpec                   `yaml:"administrations"`
	Categories       []contextSpec                 `yaml:"categories"`
	Methods          []contextSpec                 `yaml:"methods"`
	Findings         []findingSpec                 `yaml:"findings"`
	Encounters       encounterSpec                 `yaml:"encounters"`

	file string // base name
	raw  []byte
}

// faultAt is an error about one word of a code map: a code, a system, a
// concept or a spelling.
type faultAt struct {
	word string
	error
}

func (f *faultAt) Unwrap() error { return f.error }

// locate says in which file and, where the error is about one word, in which
// line to look. A word that stands in several lines is taken to be wrong in the
// last one: what came first was there before.
func (f *mapFile) locate(err error) error {
	var at *faultAt
	if !errors.As(err, &at) || at.word == "" {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	line := 0
	for i, text := range strings.Split(string(f.raw), "\n") {
		if before, _, _ := strings.Cut(text, " #"); wordIndex(before, at.word) >= 0 {
			line = i + 1
		}
	}
	if line == 0 {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	return fmt.Errorf("%s: line %d: %w", f.file, line, err)
}

// unitSpellings map what hospitals write to UCUM codes.
type unitSpellings struct {
	Any  map[string]string `yaml:"any"`
	Drug map[string]string `yaml:"drug"`
}

// conceptSpec is how values of one concept are written, and its
// substance-dependent conversions. Canonical unit and plausible range come
// from the catalogue in package state.
type conceptSpec struct {
	Concept  state.Concept `yaml:"concept"`
	Unitless bool          `yaml:"unitless"` // a bare number is meant in Unit
	Whole    bool          `yaml:"whole"`    // only whole numbers exist
	Fraction bool          `yaml:"fraction"` // percent often charted as a fraction: up to 1 is times 100
	Convert  []convertSpec `yaml:"convert"`
	// Spelled are unit spellings that mean something else for this concept
	// than elsewhere: G/L is 10*9/L of cells, and grams per litre of a protein.
	Spelled map[string]string `yaml:"spelled"`
}

// convertSpec: a value in unit From times Multiply, or divided by Divide, is
// in the concept's unit.
type convertSpec struct {
	From     string  `yaml:"from"`
	Multiply float64 `yaml:"multiply"`
	Divide   float64 `yaml:"divide"`
}

// observationSpec says which codes mean a concept, and how they are charted.
type observationSpec struct {
	Concept            state.Concept `yaml:"concept"`
	Codes              codes         `yaml:"codes"`
	Method             string        `yaml:"method"`
	Lag                string        `yaml:"lag"`
	AssumeUnit         string        `yaml:"assumeUnit"` // unit of a bare number under these codes
	ArterialBySpecimen bool          `yaml:"arterialBySpecimen"`
	Answers            []answerSpec  `yaml:"answers"`
	// OtherAnswers closes the list of answers: any other value, a number too,
	// says nothing of the concept but is a 1 of this one.
	OtherAnswers *otherAnswer `yaml:"otherAnswers"`
	// Convert is for codes that measure another substance than the concept's
	// (urea, not its nitrogen): it replaces the concept's conversions, and the
	// concept's own unit is not taken as it is.
	Convert []convertSpec `yaml:"convert"`

	canon *canon // of Convert; nil: the concept's
}

// answerSpec gives the number behind a coded or worded answer.
type answerSpec struct {
	Value  float64  `yaml:"value"`
	Means  string   `yaml:"means"` // the answer in words, for people; empty: as received
	Method string   `yaml:"method"`
	Codes  codes    `yaml:"codes"`
	Text   []string `yaml:"text"`  // the whole answer, lower case
	Words  []string `yaml:"words"` // a part of the answer, lower case
}

// otherAnswer is what an answer means that is not in the list.
type otherAnswer struct {
	Concept state.Concept `yaml:"concept"`
	Means   string        `yaml:"means"` // in words, for people
}

// methodWord changes how a value is read when Observation.method has one of
// Codes, or it or code.text contains one of Words.
type methodWord struct {
	Codes   codes         `yaml:"codes"`
	Words   []string      `yaml:"words"`
	Method  string        `yaml:"method"`
	Concept state.Concept `yaml:"concept"` // empty: any
	Ignore  string        `yaml:"ignore"`  // reason; empty: use it
}

// specimenSpec tells arterial from venous specimens.
type specimenSpec struct {
	Arterial     codes    `yaml:"arterial"` // types of specimen, and body sites it was drawn from
	Venous       codes    `yaml:"venous"`
	Observation  codes    `yaml:"observation"` // rows whose text names the specimen
	ArterialText []string `yaml:"arterialText"`
	VenousText   []string `yaml:"venousText"`
}

// bolusSpec is from when a fluid counts as a bolus.
type bolusSpec struct {
	CrystalloidMlH float64 `yaml:"crystalloidMlH"`
	CrystalloidMl  float64 `yaml:"crystalloidMl"`
	ColloidMlH     float64 `yaml:"colloidMlH"`
	ColloidMl      float64 `yaml:"colloidMl"`
}

// adminSpec is a charting habit of the administrations coded in one system.
type adminSpec struct {
	Source             string        `yaml:"source"`
	System             string        `yaml:"system"`
	DocumentedEveryMin float64       `yaml:"documentedEveryMin"`
	ReadClasses        []state.Class `yaml:"readClasses"` // empty: all
	// CodesAreNames: the codes of the system are what other systems display.
	CodesAreNames bool `yaml:"codesAreNames"`
}

// contextSpec is what an administration's category or method says.
type contextSpec struct {
	Codes     codes        `yaml:"codes"`
	FluidsAre state.Ledger `yaml:"fluidsAre"`
	Push      bool         `yaml:"push"`
	NonIV     bool         `yaml:"nonIV"`
	Backdated bool         `yaml:"backdated"` // a total of care before or outside the unit
	NotGiven  bool         `yaml:"notGiven"`
	Ignore    string       `yaml:"ignore"`
}

// findingSpec gives a clinical meaning to codes or, as a last resort, words.
type findingSpec struct {
	Tag          state.Tag `yaml:"tag"`
	Codes        codes     `yaml:"codes"`
	CodePrefixes codes     `yaml:"codePrefixes"`
	Text         []string  `yaml:"text"`
	NotText      []string  `yaml:"notText"`
}

// encounterSpec says how to recognise an ICU stay and an outcome.
type encounterSpec struct {
	ICUIdentifierSystems []string `yaml:"icuIdentifierSystems"`
	ICUCodes             codes    `yaml:"icuCodes"`
	ICUTypes             []string `yaml:"icuTypes"`
	ICUWords             []string `yaml:"icuWords"`
	NotICUWords          []string `yaml:"notIcuWords"`
	DiedCodes            codes    `yaml:"diedCodes"`
	DiedText             []string `yaml:"diedText"`
	DeathsAfterDischarge []string `yaml:"deathsAfterDischarge"`
}

// CodeMaps is the joined meaning of all code map files. It is immutable after
// LoadCodeMaps and safe for concurrent use.
type CodeMaps struct {
	hash  string
	files []string
	index index
}

// Hash is the SHA-256, in hex, of the names and bytes of all files, in order.
func (m *CodeMaps) Hash() string { return m.hash }

// Files names the files that were read, in order.
func (m *CodeMaps) Files() []string { return append([]string(nil), m.files...) }

// LoadCodeMaps reads every codes/*.yaml of fsys in name order and then the
// extra files of a site, by path on disk. It trusts their content to say what
// codes mean, and checks all that can be checked: keys, units, references
// between sections, and that no code has two meanings. Errors are ErrCodeMap.
func LoadCodeMaps(fsys fs.FS, extra ...string) (*CodeMaps, error) {
	names, err := fs.Glob(fsys, "codes/*.yaml")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("%w: no codes/*.yaml found (hint: pass configs.FS)", ErrCodeMap)
	}
	sort.Strings(names)
	sum := sha256.New()
	maps := &CodeMaps{}
	var files []mapFile
	add := func(name string, data []byte) error {
		var f mapFile
		if err := configs.Decode(data, &f); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrCodeMap, name, err)
		}
		if f.Version != 1 || f.Name == "" {
			return fmt.Errorf("%w: %s: needs version: 1 and a name", ErrCodeMap, name)
		}
		f.file, f.raw = path.Base(name), data
		fmt.Fprintf(sum, "%s %d\n", f.file, len(data))
		sum.Write(data)
		files = append(files, f)
		maps.files = append(maps.files, path.Base(name))
		return nil
	}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCodeMap, name, err)
		}
		if err := add(name, data); err != nil {
			return nil, err
		}
	}
	for _, name := range extra {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCodeMap, err)
		}
		if err := add(name, data); err != nil {
			return nil, err
		}
	}
	if err := maps.index.build(files); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCodeMap, err)
	}
	maps.hash = hex.EncodeToString(sum.Sum(nil))
	return maps, nil
}
