// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: what codes and words mean: the clinical tags of codings, and the
// comparison of spellings and phrases.

import (
	"sort"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// squeeze lowers case and drops spaces: the form in which unit spellings are
// compared.
func squeeze(s string) string {
	if !strings.ContainsAny(s, " \tABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return s
	}
	return strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(s, " ", ""), "\t", ""))
}

// asName is the form in which names of drugs are compared: lower case, with
// "0,9 %" as "0.9%".
func asName(s string) string {
	low := strings.ReplaceAll(strings.ToLower(s), " %", "%")
	for i := 1; i+1 < len(low); i++ {
		if low[i] == ',' && isDigit(low[i-1]) && isDigit(low[i+1]) {
			low = low[:i] + "." + low[i+1:]
		}
	}
	return low
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// meanings returns the tags of codings, or of the text where no code is known.
// Tags come sorted and once each.
func (x *index) meanings(codings []state.Coding, text string) []state.Tag {
	seen := map[state.Tag]bool{}
	for _, c := range codings {
		for _, t := range x.findings[key{c.System, c.Code}] {
			seen[t] = true
		}
		if list := x.findPrefixes[c.System]; len(list) > 0 {
			code := strings.ToUpper(strings.ReplaceAll(c.Code, ".", ""))
			if isSequela(code) {
				continue
			}
			for _, p := range list {
				if strings.HasPrefix(code, p.prefix) {
					seen[p.value] = true
				}
			}
		}
	}
	if len(seen) == 0 && text != "" {
		low := strings.ToLower(text)
		for _, f := range x.findText {
			if containsAny(low, f.Text) && !containsAny(low, f.NotText) {
				seen[f.Tag] = true
			}
		}
	}
	tags := make([]state.Tag, 0, len(seen))
	for t := range seen {
		tags = append(tags, t)
	}
	sort.Slice(tags, func(i, j int) bool { return tags[i] < tags[j] })
	return tags
}

// isSequela: an ICD-10-CM injury code (chapters S and T, seven characters) of
// what an old injury left behind.
func isSequela(code string) bool {
	return len(code) == 7 && (code[0] == 'S' || code[0] == 'T') && code[6] == 'S'
}

// containsAny reports whether text (lower case) has one of phrases as whole words.
func containsAny(text string, phrases []string) bool {
	for _, p := range phrases {
		if wordIndex(text, p) >= 0 {
			return true
		}
	}
	return false
}

// wordIndex finds phrase in text between word boundaries; -1 when absent.
func wordIndex(text, phrase string) int {
	for from := 0; ; {
		i := strings.Index(text[from:], phrase)
		if i < 0 {
			return -1
		}
		i += from
		end := i + len(phrase)
		if (i == 0 || !isWord(text[i-1]) || !isWord(phrase[0])) && (end == len(text) || !isWord(text[end]) || !isWord(phrase[len(phrase)-1])) {
			return i
		}
		from = i + 1
	}
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
