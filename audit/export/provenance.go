// SPDX-License-Identifier: Apache-2.0

package export

// This file: where advice comes from, as FHIR R4 Provenance: a decision was made
// by a model, from a chart, under rules; and what a clinician said of it.

import (
	"cmp"

	"github.com/sepsisagent/sepsisagent/cdshooks"
)

const (
	participantType = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
	dataOperation   = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
)

// provenanceOf is the Provenance of a decision or of feedback; nil for any other
// record.
func (s Site) provenanceOf(e Event) *provenance {
	switch {
	case e.Index.Kind == cdshooks.KindDecision && e.Index.Status != "":
		return s.decided(e)
	case e.Index.Kind == cdshooks.KindFeedback && len(e.Index.Cards) > 0:
		return s.answered(e)
	}
	return nil
}

// decided says that a model made a decision and its cards.
func (s Site) decided(e Event) *provenance {
	x := e.Index
	p := &provenance{
		ResourceType: "Provenance", ID: resourceID(x.ID), Recorded: instant(x.Time),
		Target:   []reference{byID(x.ID, "decision: "+text(x.Status))},
		Reason:   []concept{{Coding: []coding{{actReason, "TREAT", "treatment"}}}},
		Activity: &concept{Coding: []coding{{dataOperation, "CREATE", "create"}}},
	}
	for _, card := range x.Cards {
		p.Target = append(p.Target, byID(text(card), "card or suggestion"))
	}
	model := device{ResourceType: "Device", ID: "model", Manufacturer: "SepsisAgent",
		DeviceName: []deviceName{{"SepsisAgent CDS", "model-name"}}, Type: concept{Text: "artificial intelligence: world model, agent and rules"}}
	if x.Model != "" {
		model.Identifier = []identifier{*byHash(x.Model, "").Identifier}
	}
	version := func(of, value string) {
		if value = text(value); value != "" {
			model.Version = append(model.Version, deviceVersion{concept{Text: of}, value})
		}
	}
	from := func(hash, display string) {
		if hash = text(hash); hash != "" {
			p.Entity = append(p.Entity, provenanceEntity{"derivation", byHash(hash, display)})
		}
	}
	if e.Call != nil {
		if at := e.Call.Receipt; at != nil {
			p.Occurred = instant(at.At)
			version("model", at.Model.Kind+" "+at.Model.Version)
			version("software", at.Hashes.Build)
			if at.TimelineDigest != "" {
				p.Entity = append(p.Entity, provenanceEntity{"source", byHash(at.TimelineDigest, "chart as it was seen")})
			}
			from(at.Hashes.Actor, "learned policy")
			from(at.Hashes.Config, "settings")
			from(at.Hashes.Prompts, "prompts")
		}
		if digest := e.Call.Request.Digest; digest != "" {
			p.Entity = append(p.Entity, provenanceEntity{"source", byHash(digest, "request as it was received")})
		}
	}
	from(x.Model, "model")
	from(x.RulesHash, "rules")
	from(x.CodeMaps, "code maps")
	p.Contained = []device{model}
	service := s.observer()
	p.Agent = []provenanceAgent{
		{Type: &concept{Coding: []coding{{participantType, "author", "Author"}}}, Who: reference{Reference: "#model"}, OnBehalfOf: &service},
	}
	return p
}

// answered says that a clinician looked at a card.
func (s Site) answered(e Event) *provenance {
	x := e.Index
	p := &provenance{
		ResourceType: "Provenance", ID: resourceID(x.ID), Recorded: instant(x.Time),
		Activity: &concept{Text: text(cmp.Or(x.Outcome, "answered"))},
	}
	for _, card := range x.Cards {
		p.Target = append(p.Target, byID(text(card), "card"))
	}
	server := ""
	if e.Call != nil {
		server = e.Call.Request.FHIRServer
		if e.Call.Feedback != nil {
			p.Occurred = instant(e.Call.Feedback.At)
		}
	}
	who := inChart(server, text(x.User), isActor)
	if who == nil {
		who = &reference{Identifier: &identifier{Value: text(x.Client)}, Display: "a user of this client"}
	}
	p.Agent = []provenanceAgent{{Type: &concept{Coding: []coding{{participantType, "verifier", "Verifier"}}}, Who: *who}}
	if x.Refers != "" {
		p.Entity = []provenanceEntity{{"source", byID(text(x.Refers), "decision")}}
	}
	return p
}
