// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: the server's manifest. Members nobody here knows are ignored;
// what is known must be what the guide says it is, because a manifest that is
// read wrongly is an export with a hole in it.

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// manifest is what the server says the export consists of.
type manifest struct {
	at       time.Time // transactionTime
	needsTok bool      // requiresAccessToken
	output   []link
	deleted  []link
	errors   []link
	next     string // next page, of servers with partial manifests
}

// link is one file of the export.
type link struct {
	kind  string // resource type, or empty where the server mixes them
	url   string
	count int // resources in it; -1 where the server does not say
}

// noCount: the server does not say how many resources a file holds.
const noCount = -1

// wireManifest is the manifest on the wire: STU 2, with the link of STU 3 and
// its later name for the errors.
type wireManifest struct {
	ResourceType string `json:"resourceType"`
	At           string `json:"transactionTime"`
	NeedsToken   *bool  `json:"requiresAccessToken"`
	// A missing list and an empty one differ: without output it is no manifest.
	Output  *[]wireFile `json:"output"`
	Deleted []wireFile  `json:"deleted"`
	Error   []wireFile  `json:"error"`
	Outcome []wireFile  `json:"outcome"`
	Link    []struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	} `json:"link"`
}

type wireFile struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count *int   `json:"count"`
}

// parseManifest reads one page.
func parseManifest(body []byte) (*manifest, error) {
	if len(body) > maxManifest {
		return nil, fmt.Errorf("%w: it is over %d bytes", ErrManifest, maxManifest)
	}
	if _, text := outcomeOf(body); text != "" {
		return nil, fmt.Errorf("%w: the server says %q instead", ErrFailed, text)
	}
	var w wireManifest
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("%w: not the JSON of one (hint: is a proxy or a login page in between?)", ErrManifest)
	}
	if w.Output == nil {
		return nil, fmt.Errorf("%w: no output", ErrManifest)
	}
	at, err := time.Parse(time.RFC3339, w.At)
	if err != nil {
		return nil, fmt.Errorf("%w: transactionTime is missing or no instant", ErrManifest)
	}
	// Left out, it is taken as true, which sends the token to no other place.
	m := &manifest{at: at, needsTok: w.NeedsToken == nil || *w.NeedsToken}
	for _, list := range []struct {
		name string
		from []wireFile
		into *[]link
	}{{"output", *w.Output, &m.output}, {"deleted", w.Deleted, &m.deleted}, {"error", w.Error, &m.errors}, {"outcome", w.Outcome, &m.errors}} {
		for i, file := range list.from {
			l, err := file.link()
			if err != nil {
				return nil, fmt.Errorf("%w: %s[%d]: %w", ErrManifest, list.name, i, err)
			}
			*list.into = append(*list.into, l)
		}
	}
	for _, l := range w.Link {
		if l.Relation == "next" {
			m.next = l.URL
		}
	}
	return m, nil
}

func (w wireFile) link() (link, error) {
	l := link{kind: w.Type, url: w.URL, count: noCount}
	switch {
	case w.URL == "":
		return l, fmt.Errorf("no url")
	case w.Type != "" && !typeName.MatchString(w.Type):
		return l, fmt.Errorf("its type is not that of a resource")
	case w.Count != nil && *w.Count < 0:
		return l, fmt.Errorf("count is below zero")
	case w.Count != nil:
		l.count = *w.Count
	}
	return l, nil
}

// append adds a page, read from u, and gives the address of the one after it.
func (m *manifest) append(page *manifest, u *url.URL, c *client) (next string, err error) {
	if !m.at.IsZero() && !m.at.Equal(page.at) {
		return "", fmt.Errorf("%w: its pages are of different times", ErrManifest)
	}
	m.at = page.at
	m.needsTok = m.needsTok || page.needsTok
	for _, list := range []struct{ from, into *[]link }{{&page.output, &m.output}, {&page.deleted, &m.deleted}, {&page.errors, &m.errors}} {
		for _, l := range *list.from {
			at, err := c.link(u, l.url)
			if err != nil {
				return "", fmt.Errorf("%w: %w", ErrManifest, err)
			}
			l.url = at.String()
			*list.into = append(*list.into, l)
		}
	}
	if page.next == "" {
		return "", nil
	}
	at, err := c.link(u, page.next)
	if err != nil {
		return "", fmt.Errorf("%w: next page: %w", ErrManifest, err)
	}
	return at.String(), nil
}
