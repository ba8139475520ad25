// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the discovery document. It is built once, so that two calls get
// the same bytes.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// hookVersion is the published version of every hook that we answer.
const hookVersion = "1.0"

type serviceEntry struct {
	Hook              string            `json:"hook"`
	HookVersion       string            `json:"hookVersion,omitempty"` // 3.0 only
	Version           string            `json:"version,omitempty"`     // of CDS Hooks; 3.0 only
	Title             string            `json:"title"`
	Description       string            `json:"description"`
	ID                string            `json:"id"`
	Prefetch          map[string]string `json:"prefetch"`
	UsageRequirements string            `json:"usageRequirements"`
}

// discoveryDocument builds the document and its entity tag. A version of CDS
// Hooks that is not empty is announced, and with it that of each hook.
func discoveryDocument(templates map[string]string, version string) (body []byte, etag string, err error) {
	for key, t := range templates {
		path, _, _ := strings.Cut(t, "?") // code systems in the query are URLs themselves
		if key == "" || path == "" || strings.HasPrefix(path, "/") || strings.Contains(path, "://") {
			return nil, "", fmt.Errorf("%w: prefetch template %q is not a relative FHIR query", ErrConfig, key)
		}
	}
	// An order is judged on the chart that a decision is made on, by the same
	// code; so every service asks for the same of it.
	var document struct {
		Services []serviceEntry `json:"services"`
	}
	hook := ""
	if version != "" {
		hook = hookVersion
	}
	for _, o := range services {
		document.Services = append(document.Services, serviceEntry{
			Hook: o.hook, HookVersion: hook, Version: version, Title: o.title, Description: o.description, ID: o.id, Prefetch: templates, UsageRequirements: usage,
		})
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(document); err != nil {
		return nil, "", fmt.Errorf("%w: discovery: %w", ErrConfig, err)
	}
	body = bytes.TrimRight(buf.Bytes(), "\n")
	sum := sha256.Sum256(body)
	return body, `"` + hex.EncodeToString(sum[:12]) + `"`, nil
}

// checkPrefetchKeys demands that what a client's keys are renamed to are keys
// that somebody reads.
func checkPrefetchKeys(clients []*trust.Client, templates map[string]string) error {
	for _, c := range clients {
		for _, sent := range sortedKeys(c.Quirks.PrefetchKeys) {
			if to := c.Quirks.PrefetchKeys[sent]; templates[to] == "" {
				return fmt.Errorf("%w: client %q: quirks.prefetch_keys renames %q to %q, which is no key of ours (hint: one of %s)",
					ErrConfig, c.Name, sent, to, strings.Join(sortedKeys(templates), ", "))
			}
		}
	}
	return nil
}
