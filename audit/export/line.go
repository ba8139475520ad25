// SPDX-License-Identifier: Apache-2.0

package export

// This file: a record as one flat line, for CSV and Parquet.

import (
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Line is a record as a row of a table. Its tags are the columns' names in both
// formats. Body is in Parquet alone: a chart does not fit a spreadsheet's cell.
type Line struct {
	Record       int64     `parquet:"record"` // place in the tree, from 0
	LeafHash     string    `parquet:"leaf_hash"`
	ID           string    `parquet:"id"`
	Time         time.Time `parquet:"time,timestamp(microsecond)"` // UTC
	Kind         string    `parquet:"kind"`
	Client       string    `parquet:"client"`
	Service      string    `parquet:"service"`
	HookInstance string    `parquet:"hook_instance"`
	RequestID    string    `parquet:"request_id"`
	User         string    `parquet:"user"`
	Patient      string    `parquet:"patient"`
	Encounter    string    `parquet:"encounter"`
	Unit         string    `parquet:"unit"`
	HTTP         int64     `parquet:"http"`
	Status       string    `parquet:"status"`
	Display      string    `parquet:"display"`
	Shown        bool      `parquet:"shown"`
	Topic        string    `parquet:"topic"`
	Outcome      string    `parquet:"outcome"`
	Reasons      []string  `parquet:"reasons,list"`
	Drugs        []string  `parquet:"drugs,list"`
	Rules        []string  `parquet:"rules,list"`
	Cards        []string  `parquet:"cards,list"`
	Refers       string    `parquet:"refers"`
	Model        string    `parquet:"model"`
	RulesHash    string    `parquet:"rules_hash"`
	CodeMaps     string    `parquet:"code_maps"`
	Build        string    `parquet:"build"`
	Body         string    `parquet:"body,optional,zstd"` // JSON
}

// line is the event but for its body.
func (e Event) line() Line {
	x := e.Index
	l := Line{
		Record: e.Leaf, LeafHash: e.LeafHash, ID: x.ID, Time: x.Time.UTC(), Kind: x.Kind, Client: x.Client, Service: x.Service,
		HookInstance: x.HookInstance, RequestID: x.RequestID, User: x.User, Patient: x.Patient, Encounter: x.Encounter, Unit: x.Unit,
		HTTP: int64(x.HTTP), Status: x.Status, Display: x.Display, Shown: x.Shown, Topic: x.Topic, Outcome: x.Outcome,
		Reasons: x.Reasons, Drugs: x.Drugs, Rules: x.Rules, Cards: x.Cards, Refers: x.Refers,
		Model: x.Model, RulesHash: x.RulesHash, CodeMaps: x.CodeMaps,
	}
	if e.Call != nil && e.Call.Receipt != nil {
		l.Build = e.Call.Receipt.Hashes.Build
	}
	return l
}

// columns are the names of the fields of a Line.
func columns() []string {
	t := reflect.TypeFor[Line]()
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("parquet"), ",")
		names = append(names, name)
	}
	return names
}

// cells are the values of a Line as text, in the order of columns.
func (l Line) cells() []string {
	v := reflect.ValueOf(l)
	out := make([]string, v.NumField())
	for i := range out {
		switch x := v.Field(i).Interface().(type) {
		case string:
			out[i] = harmless(x)
		case []string:
			out[i] = harmless(strings.Join(x, " | "))
		case int64:
			out[i] = strconv.FormatInt(x, 10)
		case bool:
			out[i] = strconv.FormatBool(x)
		case time.Time:
			out[i] = x.Format(time.RFC3339Nano)
		default:
			panic(fmt.Sprintf("export: a column of type %T", x)) // Line is ours
		}
	}
	return out
}

// writeCSV writes a table with a header (RFC 4180, but that lines end with LF).
func writeCSV(w io.Writer, events iter.Seq2[Event, error]) (int, error) {
	c := csv.NewWriter(w)
	last := len(columns()) - 1 // without the body
	if err := c.Write(columns()[:last]); err != nil {
		return 0, err
	}
	n := 0
	for e, err := range events {
		if err != nil {
			return n, err
		}
		if err := c.Write(e.line().cells()[:last]); err != nil {
			return n, err
		}
		n++
	}
	c.Flush()
	return n, c.Error()
}

// rowsPerGroup bounds what a Parquet writer keeps in memory: a body may be
// megabytes.
const rowsPerGroup = 256

// writeParquet writes the lines with their bodies.
func writeParquet(w io.Writer, events iter.Seq2[Event, error]) (int, error) {
	pw := parquet.NewGenericWriter[Line](w, parquet.Compression(&zstd.Codec{}), parquet.MaxRowsPerRowGroup(rowsPerGroup),
		parquet.SkipPageBounds("body"), parquet.CreatedBy("sepsisagent", "audit-export", "1"), parquet.KeyValueMetadata("sepsisagent.format", "audit/1"))
	n := 0
	for e, err := range events {
		if err != nil {
			return n, err
		}
		l := e.line()
		body, err := e.readable()
		if err != nil {
			return n, err
		}
		l.Body = string(body)
		if _, err := pw.Write([]Line{l}); err != nil {
			return n, err
		}
		n++
	}
	return n, pw.Close()
}
