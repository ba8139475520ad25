// SPDX-License-Identifier: Apache-2.0

package state

// This file: the members of a JSON object, appended to bytes as encoding/json
// writes them without its escapes for HTML. A key comes with what stands
// before its value, such as `,"unit":`.

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// jsonText is JSON being written. err is the first value that JSON cannot hold.
type jsonText struct {
	buf []byte
	err error
}

func (w *jsonText) raw(s string) { w.buf = append(w.buf, s...) }

func (w *jsonText) text(key, s string) {
	w.raw(key)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			w.odd(s)
			return
		}
	}
	w.buf = append(append(append(w.buf, '"'), s...), '"')
}

// texts writes a list that is not empty.
func (w *jsonText) texts(key string, list []string) {
	w.raw(key)
	for i, s := range list {
		w.buf = append(w.buf, separator(i))
		w.text("", s)
	}
	w.buf = append(w.buf, ']')
}

// textIf leaves out an empty text.
func (w *jsonText) textIf(key, s string) {
	if s != "" {
		w.text(key, s)
	}
}

func (w *jsonText) flag(key string, v bool) { w.buf = strconv.AppendBool(append(w.buf, key...), v) }

func (w *jsonText) flagIf(key string, v bool) {
	if v {
		w.flag(key, v)
	}
}

func (w *jsonText) integer(key string, v int) {
	w.buf = strconv.AppendInt(append(w.buf, key...), int64(v), 10)
}

func (w *jsonText) number(key string, v float64) {
	w.raw(key)
	// What encoding/json writes as a plain decimal; the rest is rare.
	if size := math.Abs(v); size == 0 && !math.Signbit(v) || size >= 1e-6 && size < 1e21 {
		w.buf = strconv.AppendFloat(w.buf, v, 'f', -1, 64)
		return
	}
	w.odd(v)
}

// numberIf leaves out zero.
func (w *jsonText) numberIf(key string, v float64) {
	if v != 0 {
		w.number(key, v)
	}
}

func (w *jsonText) time(key string, t time.Time) {
	w.buf = append(append(w.buf, key...), '"')
	buf, err := t.AppendText(w.buf)
	if err != nil {
		w.fail(err)
		return
	}
	w.buf = append(buf, '"')
}

// timeIf leaves out the zero time.
func (w *jsonText) timeIf(key string, t time.Time) {
	if !t.IsZero() {
		w.time(key, t)
	}
}

// odd leaves a value to encoding/json.
func (w *jsonText) odd(v any) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		w.fail(err)
		return
	}
	w.buf = append(w.buf, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

func (w *jsonText) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// separator is what stands before element i of an array.
func separator(i int) byte {
	if i == 0 {
		return '['
	}
	return ','
}
