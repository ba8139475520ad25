// SPDX-License-Identifier: Apache-2.0

package world

// This file: the 31 source attributes of a predictive decision support
// intervention (ONC HTI-1, 45 CFR 170.315(b)(11)(iv)(B)), from what the model
// file records. An attribute that nobody but the site can know says so, and a
// site can fill it in; what was never measured is "not available", never
// guessed.

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sepsisagent/sepsisagent/engine/cohort"
)

// Attribute is one source attribute.
type Attribute struct {
	ID       int    `json:"id"` // 1 to 31, in the order of the rule
	Category string `json:"category"`
	Name     string `json:"name"`
	Value    string `json:"value"`
	BySite   bool   `json:"by_site"` // a site fills it in, and has not yet
}

// SiteAttributes are what a site says of its own use, by attribute number.
type SiteAttributes map[int]string

// ErrSiteAttribute: an attribute is not one that a site fills in. What is
// measured cannot be written over.
var ErrSiteAttribute = errors.New("not a source attribute that a site fills in")

// Validate refuses numbers that are not a site's to fill, and empty texts.
func (s SiteAttributes) Validate() error {
	for id, text := range s {
		i := slices.IndexFunc(attributeNames, func(a attributeName) bool { return a.id == id })
		if i < 0 || !attributeNames[i].site {
			return fmt.Errorf("%w: %d (hint: a site fills in %s)", ErrSiteAttribute, id, siteNumbers())
		}
		if strings.TrimSpace(text) == "" {
			return fmt.Errorf("%w: %d is empty", ErrSiteAttribute, id)
		}
	}
	return nil
}

func siteNumbers() string {
	var out []string
	for _, a := range attributeNames {
		if a.site {
			out = append(out, fmt.Sprint(a.id))
		}
	}
	return strings.Join(out, ", ")
}

type attributeName struct {
	id             int
	category, name string
	site           bool // the site adds to it or fills it in
}

// attributeNames lists the attributes in the order of the rule.
var attributeNames = []attributeName{
	{1, "Details and output", "Developer name and contact", true},
	{2, "Details and output", "Funding source of the technical implementation", true},
	{3, "Details and output", "Value produced as output", false},
	{4, "Details and output", "Output type", false},
	{5, "Purpose", "Intended use", false},
	{6, "Purpose", "Intended patient population", false},
	{7, "Purpose", "Intended users", false},
	{8, "Purpose", "Intended decision-making role", false},
	{9, "Cautioned out-of-scope use", "Tasks, situations and populations where caution is due", false},
	{10, "Cautioned out-of-scope use", "Known risks, inappropriate settings and limitations", false},
	{11, "Development and input features", "Inclusion and exclusion criteria of the training data", false},
	{12, "Development and input features", "Use of demographic, social and health status variables as inputs", false},
	{13, "Development and input features", "Demographic representativeness of the training data", false},
	{14, "Development and input features", "Relevance of the training data to the deployed setting", true},
	{15, "Fairness in development", "Approach to ensure that the output is fair", false},
	{16, "Fairness in development", "Approaches to manage, reduce or eliminate bias", false},
	{17, "External validation", "Data source, setting and environment", true},
	{18, "External validation", "Party that conducted it", true},
	{19, "External validation", "Demographic representativeness of the external data", true},
	{20, "External validation", "Description of the process", true},
	{21, "Quantitative performance", "Validity in test data of the same sources", false},
	{22, "Quantitative performance", "Fairness in test data of the same sources", false},
	{23, "Quantitative performance", "Validity in external data", true},
	{24, "Quantitative performance", "Fairness in external data", true},
	{25, "Quantitative performance", "References to evaluations of outcomes", true},
	{26, "Ongoing maintenance", "Process and frequency of monitoring validity", true},
	{27, "Ongoing maintenance", "Validity in local data", true},
	{28, "Ongoing maintenance", "Process and frequency of monitoring fairness", true},
	{29, "Ongoing maintenance", "Fairness in local data", true},
	{30, "Update and revalidation", "Process and frequency of updates", true},
	{31, "Update and revalidation", "Frequency of correcting performance when risks are found", true},
}

const notAvailable = "Not available"

// Attributes are the 31 attributes of the model with what the site says.
func (m *Model) Attributes(site SiteAttributes) []Attribute {
	r := &m.file.Training
	values := map[int]string{
		1:  "The maintainers of SepsisAgent CDS (the repository that this model came with; reports go to its issue tracker). The site that runs it names its own contact.",
		2:  notAvailable + ": the project declares no funding.",
		3:  fmt.Sprintf("For each plan of norepinephrine and fluid and for each of the next %d steps of 4 h: median, 80 %% and 95 %% interval of %d ICU variables, the chance that mean arterial pressure reaches its goal, that lactate falls, and of invasive ventilation; the share of clinicians who treated such states so, the ensemble's disagreement and the distance from training data. Chances of death and of vasopressor need are computed for evaluation.", Horizon, numF),
		4:  "Prediction. The agent that reads it gives recommendations (a direction, a first step, a ceiling and a recheck), or abstains.",
		5:  "To simulate how the state of an ICU patient with sepsis may go on under fluid and vasopressor plans, so that a clinician can weigh a suggestion and see how sure it is. Not validated for clinical use.",
		6:  "Adults in intensive care with evidence of sepsis as known at the time (an antimicrobial, a culture or a dated condition, with SOFA 2 or more above baseline). The model itself is trained on all ICU stays of its sources.",
		7:  "ICU physicians, nurses and pharmacists who can review what it is based on. Not patients, not automated pumps.",
		8:  "Informs and augments. It replaces no decision: nothing is ordered, preselected or given by it.",
		9:  "Not for children, patients outside intensive care, pregnancy or postpartum, comfort care, procedures in progress, ECMO or mechanical support. The agent abstains with active bleeding, shock that is not septic, after arrest, with burns or ketoacidosis, with vasoactive drugs the model does not know, with stale or missing essentials, and where clinicians hardly ever did so. Not for triage, for prognosis of a single patient, or for the decision to limit care.",
		10: strings.Join(append([]string{"What treatment changes is learned on simulated patients, not measured in people. Hospitals that chart no infusions look as if they treat nobody unless the chart says so. A wrong chart gives a wrong forecast. A reader may lean on a number too much"}, r.Failures()...), ". ") + ".",
		11: fmt.Sprintf("All ICU stays of the sources that could be read, with decision times every 4 h up to %d h after admission, or to the end of the stay. No stay is left out for its outcome, its length or its diagnosis. Simulated patients with randomised doses are added. Test patients, and those of hospitals that were left out, train nothing.", cohort.MaxHours),
		12: "Race: no. Ethnicity: no. Language: no. Sexual orientation: no. Gender identity: no. Sex: yes, as recorded (female, male, unknown). Date of birth: as age in years. Social determinants of health: no. Health status assessments: yes, Glasgow coma scale and SOFA.",
		13: r.represented(),
		14: fmt.Sprintf("Training data: %s. Both open data sets come from hospitals in the United States. How like the site's patients are to these is the site's to say.", r.sources()),
		15: "Variables that stand for a group rather than for physiology, sex and age apart, are not read. Error, interval coverage and ranking are measured by age, sex, source and hospital at every training, and printed with their intervals whatever they are.",
		16: "Confounding by indication: effects of treatment are learned only where doses were random. Missing values: what was not measured is marked and never filled in. Hospitals: intervals are calibrated on patients that trained nothing, and whole hospitals can be held out. Long stays do not weigh more than short ones in the chance of death. No correction by group is made.",
		17: notAvailable + ": nobody has validated this version outside the data it came from.",
		18: notAvailable + ": none was made.",
		19: notAvailable + ": none was made.",
		20: notAvailable + ": none was made. `sepsisagent evaluate world` scores the model on any cohort of FHIR charts and fits nothing.",
		21: r.validity(),
		22: r.fairness(),
		23: notAvailable + ": no external data were scored for this version.",
		24: notAvailable + ": no external data were scored for this version.",
		25: notAvailable + ": no study of outcomes under this product exists.",
		26: "The site runs `sepsisagent evaluate world` and `evaluate stays` on its newest months and compares with this card. How often is the site's to set.",
		27: notAvailable + " until the site measures it with `sepsisagent evaluate world --cohort` on its own patients.",
		28: "The same commands print every number by age, sex and hospital. How often is the site's to set.",
		29: notAvailable + " until the site measures it; the groups are part of the same report.",
		30: fmt.Sprintf("This is version %s. A model never changes while it serves: an update is another set of weights with another hash, trained by `train world` and accepted by the site. How often is the site's to set.", m.file.Version),
		31: "The site's to set. The service can be set to answer nothing (display mode silent), and every receipt names the model's hash, so that those given under a fault can be found.",
	}
	out := make([]Attribute, 0, len(attributeNames))
	for _, a := range attributeNames {
		one := Attribute{ID: a.id, Category: a.category, Name: a.name, Value: values[a.id], BySite: a.site}
		if text, filled := site[a.id]; filled && a.site {
			one.Value, one.BySite = text, false
		}
		out = append(out, one)
	}
	return out
}

// represented says whom the model learned from.
func (r *TrainingRecord) represented() string {
	if len(r.People) == 0 {
		return notAvailable + ": this model file does not record it."
	}
	var parts []string
	for _, p := range r.People {
		parts = append(parts, fmt.Sprintf("%s %s: %d", p.By, p.Name, p.Patients))
	}
	return "Real patients of training and validation: " + strings.Join(parts, "; ") + ". Race, ethnicity and language are not read from charts and not known."
}

// validity sums up the test.
func (r *TrainingRecord) validity() string {
	s := r.Test
	if s == nil {
		return notAvailable + ": the cohort had no test patients."
	}
	text := fmt.Sprintf("%d patients, %d stays, %d decision times that trained nothing. Next-state error %s (persistence %s, ridge %s; under the best of them by %s). 80 %% intervals hold %s, 95 %% intervals %s. AUROC: ventilation %s, death in hospital at 24 h %s (%d deaths of %d; calibration error %s), vasopressor within 24 h %s.",
		s.Patients, s.Stays, s.Steps, s.ranged(s.StateMAE, "state_mae"), shown(s.PersistenceMAE), shown(s.RidgeMAE), s.ranged(s.Improvement, "improvement"),
		s.ranged(s.Interval80, "interval80_coverage"), s.ranged(s.Interval95, "interval95_coverage"), s.ranged(s.VentAUROC, "vent_auroc"),
		s.ranged(s.MortalityAUROC, "mortality_auroc"), s.Deaths, s.MortalityN, shown(s.MortalityECE), s.ranged(s.Vaso24hAUROC, "vaso24h_auroc"))
	if h := r.TestHospitals; h != nil {
		text += fmt.Sprintf(" On hospitals that were left out of training (%d patients): next-state error %s, 80 %% intervals hold %s, AUROC for death %s.", h.Patients,
			h.ranged(h.StateMAE, "state_mae"), h.ranged(h.Interval80, "interval80_coverage"), h.ranged(h.MortalityAUROC, "mortality_auroc"))
	}
	return text
}

// fairness says how far groups lie apart in the test.
func (r *TrainingRecord) fairness() string {
	if r.Test == nil || len(r.Test.Groups) == 0 {
		return notAvailable + ": this model file does not record scores by group."
	}
	var parts []string
	for _, g := range r.Test.Groups {
		if g.By == "age" || g.By == "sex" {
			parts = append(parts, fmt.Sprintf("%s %s (n=%d): error %s, 80 %% intervals hold %s", g.By, g.Name, g.Patients, interval(g.StateMAE, g.MAERange), interval(g.Interval80, g.Range80)))
		}
	}
	return strings.Join(parts, "; ") + ". Race and ethnicity are not known. The table by group is on the card."
}
