// SPDX-License-Identifier: Apache-2.0

package policy

// This file: where in a pack file something stands, so that an error can be
// clicked on.

import (
	"strconv"

	"go.yaml.in/yaml/v3"
)

// The lists of a pack file whose entries have a line.
const (
	inRules     = "rules"
	inRestates  = "restates"
	inOverrides = "overrides"
)

// lines knows the line of every entry of a pack's lists and of its keys.
type lines struct {
	file string
	list map[string][]entryLines
}

type entryLines struct {
	line int
	key  map[string]int
}

// linesOf reads the positions in a file that has been decoded already. A file
// of another shape has none, which only makes messages coarser.
func linesOf(name string, data []byte) lines {
	l := lines{file: name, list: map[string][]entryLines{}}
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
		return l
	}
	top := doc.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		for _, entry := range top.Content[i+1].Content {
			e := entryLines{line: entry.Line, key: map[string]int{}}
			for k := 0; k+1 < len(entry.Content); k += 2 {
				e.key[entry.Content[k].Value] = entry.Content[k].Line
			}
			l.list[top.Content[i].Value] = append(l.list[top.Content[i].Value], e)
		}
	}
	return l
}

// of writes "file:line" of a key in the i-th entry of a list, as near as the
// file says.
func (l lines) of(list string, i int, key string) string {
	if i >= len(l.list[list]) {
		return l.file
	}
	e := l.list[list][i]
	line := e.line
	if at, ok := e.key[key]; ok {
		line = at
	}
	return l.file + ":" + strconv.Itoa(line)
}
