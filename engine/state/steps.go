// SPDX-License-Identifier: Apache-2.0

package state

// This file: the steps of a timeline as JSON, written out by hand. They are
// most of its bytes, and building a cohort writes them once per stay and step;
// a test holds them to what encoding/json writes.

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// stepsMark is where the steps stand in a timeline that has none. A text
// cannot hold it: its quotes would be escaped.
const stepsMark = `,"steps":null,"present":`

// appendSteps appends what encoding/json makes of steps.
func appendSteps(buf []byte, steps []Step) ([]byte, error) {
	if steps == nil {
		return append(buf, "null"...), nil
	}
	buf = append(buf, '[')
	for i := range steps {
		if i > 0 {
			buf = append(buf, ',')
		}
		var err error
		if buf, err = steps[i].append(buf); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
	}
	return append(buf, ']'), nil
}

func (s *Step) append(buf []byte) ([]byte, error) {
	start, err := s.Start.MarshalJSON()
	if err != nil {
		return nil, err
	}
	end, err := s.End.MarshalJSON()
	if err != nil {
		return nil, err
	}
	buf = append(append(buf, `{"start":`...), start...)
	buf = append(append(buf, `,"end":`...), end...)
	if buf, err = appendFloats(append(buf, `,"value":`...), &s.Value); err != nil {
		return nil, err
	}
	buf = append(buf, `,"presence":`...)
	for i, p := range s.Presence {
		buf = append(buf, separator(i))
		buf = strconv.AppendUint(buf, uint64(p), 10)
	}
	if buf, err = appendFloats(append(buf, `],"age":`...), &s.AgeH); err != nil {
		return nil, err
	}
	rest, err := json.Marshal(struct {
		Given     *Exposure `json:"given"`
		SOFA      *SOFA     `json:"sofa"`
		VentKnown bool      `json:"ventknown"`
		Vent      bool      `json:"vent"`
		InStay    bool      `json:"instay"`
	}{&s.Given, &s.SOFA, s.VentKnown, s.Vent, s.InStay})
	if err != nil {
		return nil, err
	}
	return append(append(buf, ','), rest[1:]...), nil
}

// separator is what stands before element i of an array.
func separator(i int) byte {
	if i == 0 {
		return '['
	}
	return ','
}

func appendFloats(buf []byte, list *[NumFeatures]float64) ([]byte, error) {
	for i, v := range list {
		buf = append(buf, separator(i))
		// What encoding/json writes as a plain decimal; the rest is rare.
		if size := math.Abs(v); size == 0 && !math.Signbit(v) || size >= 1e-6 && size < 1e21 {
			buf = strconv.AppendFloat(buf, v, 'f', -1, 64)
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		buf = append(buf, text...)
	}
	return append(buf, ']'), nil
}
