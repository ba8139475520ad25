// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: the cards of an order check: one for each order there is something
// to say about, the most urgent first. Each says which order it is about. The
// alternative is text: nothing is ordered, changed or deleted by a card, and
// nothing is preselected (design.md 5.9).

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/agent"
	"github.com/sepsisagent/sepsisagent/engine/state"
)

// The topics of order cards. Static, as all topics are.
const (
	topicOrderVasopressor = "ordervasopressor"
	topicOrderFluid       = "orderfluid"
)

// OrderExtension is the key of the card extension that names the order a card
// is about, as Type/id of an entry in draftOrders.
const OrderExtension = "io.github.sepsisagent.order"

// orderOf is one order with what was found about each of its instructions.
type orderOf struct {
	id    string
	parts []*agent.Assessed
	worst *agent.Finding
}

// orders puts the instructions of one order together and leaves out orders
// nothing is said about.
func (w writer) orders() []orderOf {
	var out []orderOf
	for i := range w.Outcome.Orders {
		a := &w.Outcome.Orders[i]
		if len(a.Findings) == 0 {
			continue
		}
		k := slices.IndexFunc(out, func(o orderOf) bool { return o.id == a.Draft.ID })
		if k < 0 {
			k, out = len(out), append(out, orderOf{id: a.Draft.ID})
		}
		o := &out[k]
		o.parts = append(o.parts, a)
		if o.worst == nil || a.Findings[0].Severity.Over(o.worst.Severity) {
			o.worst = &a.Findings[0]
		}
	}
	slices.SortStableFunc(out, func(a, b orderOf) int {
		return cmp.Compare(urgency(b.worst.Severity), urgency(a.worst.Severity))
	})
	return out
}

func urgency(s agent.Severity) int {
	return slices.Index([]string{IndicatorInfo, IndicatorWarning, IndicatorCritical}, orderIndicator(s))
}

func orderIndicator(s agent.Severity) string {
	switch s {
	case agent.SeverityCritical:
		return IndicatorCritical
	case agent.SeverityWarning:
		return IndicatorWarning
	}
	return IndicatorInfo
}

// orderCards makes the cards.
func (w writer) orderCards() []Card {
	cards := []Card{}
	for i, o := range w.orders() {
		topic := topicOrderFluid
		if o.parts[0].Draft.Class == state.ClassVasopressor || o.parts[0].Draft.Unread {
			topic = topicOrderVasopressor
		}
		part := "order-" + strconv.Itoa(i)
		card := Card{
			UUID: cardID(w.ID, w.Seed, part), Summary: w.orderSummary(o), Indicator: orderIndicator(o.worst.Severity), Detail: w.orderDetail(o),
			Source: Source{
				Label: w.Settings.SourceLabel, URL: w.Settings.SourceURL,
				Topic: &Coding{Code: topic, System: w.Settings.TopicSystem, Display: topicDisplay(topic)},
			},
			OverrideReasons: overrideReasons,
		}
		card.Links = w.Settings.links()
		card.Extension = orderReference(o.id)
		if o.worst.Severity.Over(agent.SeverityInfo) {
			card.Suggestions = []Suggestion{{Label: "I will change this order: " + w.instead(o.worst), UUID: cardID(w.ID, w.Seed, part+"-suggestion")}}
			card.SelectionBehavior = cmp.Or(w.Settings.Quirks.SelectionBehavior, SelectAtMostOne)
		}
		cards = append(cards, card)
	}
	return cards
}

// orderReference is the extension that names the order for a program: whole and
// unchanged, or not at all.
func orderReference(id string) map[string]json.RawMessage {
	value, err := json.Marshal(map[string]string{"reference": id})
	if err != nil || len(id) > 4*maxID || !selectionForm.MatchString(id) || strings.ContainsFunc(id, unseen) {
		return nil
	}
	return map[string]json.RawMessage{OrderExtension: value}
}

// instead is the alternative of a finding, with its dose where the mode allows.
func (w writer) instead(f *agent.Finding) string {
	if w.Display == trust.DisplaySuggest && f.Dose != "" {
		return f.Dose
	}
	return f.Alternative
}

// orderSummary names the order, what is the matter with it, and what else could
// be done; what does not fit is left out whole.
func (w writer) orderSummary(o orderOf) string {
	d := &o.parts[0].Draft
	what := strings.TrimSuffix(plain(o.worst.Rule.Text), ".")
	name := "Order of " + drugName(d.Drug)
	if d.Drug == "" {
		return fit(what)
	}
	alternative := ". Consider: " + plain(w.instead(o.worst))
	return fit(name+": "+what+alternative, name+": "+what, name+" ("+o.worst.Rule.ID+")"+alternative, name+alternative, name+": see the details before signing")
}

// orderDetail is the detail of one order's card.
func (w writer) orderDetail(o orderOf) string {
	var p page
	p.paragraph("**As of " + w.full(w.Timeline.At) + ".** Void after " + w.time(w.Timeline.At.Add(CardValid)) +
		", or as soon as a new MAP or a new infusion rate is charted.")
	p.heading("This card is about")
	p.item("Order " + escape(o.id))
	for _, a := range o.parts {
		p.item(w.orderWords(a))
	}
	p.heading("What there is to say")
	for _, a := range o.parts {
		for i := range a.Findings {
			f := &a.Findings[i]
			p.item("**" + string(f.Severity) + "**: " + escape(f.Rule.Text) + " (" + escape(f.Rule.ID) + ", " + escape(f.Rule.Strength) + ") *" + escape(f.Rule.Source) + "*")
			p.item("Consider instead: " + escape(w.instead(f)))
		}
	}
	p.item("Nothing was ordered, changed or stopped by this service. Do not delay a vasopressor that is needed.")
	w.running(&p)
	p.heading("What it rests on")
	w.pressureFacts(&p)
	w.trend(&p, "Lactate", w.Timeline.Present.Lactate)
	w.trend(&p, "PaO2/FiO2", w.Timeline.Present.PFRatio)
	w.fluidFacts(&p)
	w.orderForecast(&p, o)
	w.alsoSpoke(&p, o)
	w.ownAdvice(&p)
	w.orderUnknowns(&p, o)
	w.basis(&p)
	return p.String()
}

// orderWords say what an instruction orders, as it was written and as it was
// understood.
func (w writer) orderWords(a *agent.Assessed) string {
	d := &a.Draft
	name := "**" + escape(drugName(d.Drug)) + "**"
	if d.Drug == "" {
		name = "a medication order"
	}
	if d.Part != "" {
		name += " (" + escape(d.Part) + ")"
	}
	switch d.Does {
	case state.DraftStops:
		name += ", to end"
	case state.DraftHolds:
		name += ", to hold"
	}
	s := name + ", as drafted: " + escape(d.Received)
	if d.ByText {
		s += "; recognised by its name only"
	}
	switch unit := strings.ReplaceAll(d.RateUnit, "[iU]", "U"); {
	case d.RateKnown && d.RateHigh > d.Rate:
		s += "; read as " + number(d.Rate, 3) + " to " + number(d.RateHigh, 3) + " " + unit
	case d.RateKnown:
		s += "; read as " + number(d.Rate, 3) + " " + unit
	case d.MlKnown:
		s += "; read as " + number(d.AmountMl, 0) + " mL"
	}
	if a.Proposal != nil && a.Proposal.Drug != "" {
		s += "; beside what runs: " + escape(a.Proposal.Direction)
	}
	return s
}

// orderForecast is the what-if table: current treatment, this order, and in
// mode suggest what the service itself would do.
func (w writer) orderForecast(p *page, o orderOf) {
	i := slices.IndexFunc(o.parts, func(a *agent.Assessed) bool { return a.Forecast != nil })
	current := option(w.Outcome.Decision, agent.RoleCurrent)
	if i < 0 || current == nil {
		return
	}
	plans := []plan{{"Current treatment", "unchanged", &current.Forecast}, {"This order", drugName(o.parts[i].Draft.Drug) + " as drafted", o.parts[i].Forecast}}
	if own := option(w.Outcome.Decision, agent.RoleSuggested); own != nil && w.dosing() {
		plans = append(plans, plan{"This service", planWords(own), &own.Forecast})
	}
	w.forecastTable(p, plans)
}

// alsoSpoke lists rules that spoke of the order without being worth a card.
func (w writer) alsoSpoke(p *page, o orderOf) {
	head := false
	for _, a := range o.parts {
		for _, v := range a.Spoke {
			if !head {
				p.heading("Rules that also spoke")
				head = true
			}
			p.item("**" + escape(v.ID) + "** (" + escape(string(v.Effect)) + ", " + escape(v.Strength) + "): " + escape(v.Text) + " *" + escape(v.Source) + "*")
		}
	}
}

// ownAdvice is what the service itself says about the patient.
func (w writer) ownAdvice(p *page) {
	d := w.Outcome.Decision
	switch {
	case w.dosing():
		w.suggested(p)
	case len(d.Reasons) > 0:
		p.heading("Why this service gives no advice of its own")
		for _, r := range d.Reasons {
			p.item(escape(r.Text))
		}
	}
}

// orderUnknowns lists what was not assessed: of this order, and which other
// orders of the session were not judged at all.
func (w writer) orderUnknowns(p *page, o orderOf) {
	var lines []string
	for _, a := range o.parts {
		if a.Unjudged != "" {
			lines = append(lines, "this order, in part: "+a.Unjudged)
		}
		lines = append(lines, a.Unclear...)
	}
	for i := range w.Outcome.Orders {
		if a := &w.Outcome.Orders[i]; a.Draft.ID != o.id && a.Draft.Selected && a.Unjudged != "" {
			lines = append(lines, "order of "+cmp.Or(a.Draft.Name, "a medication")+": "+a.Unjudged)
		}
	}
	if len(lines) > 0 {
		p.heading("Not judged")
		p.items(slices.Compact(lines))
	}
	w.unknowns(p)
}

// orderRules and orderDrugs are what an order check can be found by.
func orderRules(rc *engine.Receipt) []string {
	var out []string
	for i := range rc.Outcome.Orders {
		for _, f := range rc.Outcome.Orders[i].Findings {
			out = append(out, f.Rule.ID)
		}
	}
	return out
}

func orderDrugs(rc *engine.Receipt) []string {
	var out []string
	for i := range rc.Outcome.Orders {
		out = append(out, string(rc.Outcome.Orders[i].Draft.Drug))
	}
	return out
}
