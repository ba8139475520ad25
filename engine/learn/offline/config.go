// SPDX-License-Identifier: Apache-2.0

package offline

// This file: the settings of the methods, each with its source. None was chosen
// by what a policy is worth: where sources differ, the comment says what was
// taken and why.

import (
	"fmt"
	"math"
)

// Config are the settings of a fit. A method ignores what it does not use.
// Rewards are divided by the largest return of the log before anything is
// learnt, so settings that weigh rewards mean the same on every dataset.
type Config struct {
	// Seed decides everything that is drawn.
	Seed uint64 `json:"seed"`
	// Discount is γ in (0, 1] per step.
	Discount float64 `json:"discount"`

	// Hidden is the width of the two hidden layers, with ReLU.
	Hidden int `json:"hidden,omitempty"`
	// Streams is the width of the hidden layer in each stream of a dueling
	// network; 0: the streams are linear.
	Streams int `json:"streams,omitempty"`
	// Batch is the number of steps in an update.
	Batch int `json:"batch,omitempty"`
	// Updates is how many updates are made. It does not depend on how much data
	// there is, and no value is looked at to stop earlier.
	Updates int `json:"updates,omitempty"`
	// LearningRate of Adam falls along a cosine to a fiftieth of itself.
	LearningRate float64 `json:"learning_rate,omitempty"`
	// WeightDecay is decoupled, per update times the learning rate.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// TargetEvery is after how many updates the target network becomes a copy;
	// 0: it follows by the share Polyak at each update.
	TargetEvery int     `json:"target_every,omitempty"`
	Polyak      float64 `json:"polyak,omitempty"`

	// Priority is the exponent α of prioritised replay (Schaul 2016); 0: steps
	// are drawn alike. PriorityCorrection is the exponent β that the weights
	// begin with; it rises to 1.
	Priority           float64 `json:"priority,omitempty"`
	PriorityCorrection float64 `json:"priority_correction,omitempty"`

	// Conservative is CQL's α.
	Conservative float64 `json:"conservative,omitempty"`
	// Support is BCQ's τ in [0, 1]: actions below this share of the likeliest
	// action's probability are not chosen. LogitPenalty holds its imitation back.
	Support      float64 `json:"support,omitempty"`
	LogitPenalty float64 `json:"logit_penalty,omitempty"`
	// Expectile is IQL's τ in [0.5, 1). Sharpness is its β on advantages in
	// standard deviations, and MostWeight the largest weight.
	Expectile  float64 `json:"expectile,omitempty"`
	Sharpness  float64 `json:"sharpness,omitempty"`
	MostWeight float64 `json:"most_weight,omitempty"`
	// ExpertBelow is the SOFA below which WD3QNE learns from the clinicians' next
	// action in place of its own.
	ExpertBelow float64 `json:"expert_below_sofa,omitempty"`

	// Validation is the share of patients that imitation is stopped by, and
	// Patience after how many epochs without a better one.
	Validation float64 `json:"validation,omitempty"`
	Patience   int     `json:"patience,omitempty"`

	// Clusters is the most clusters of AI Clinician where the dataset names no
	// states, with PerCluster steps for each at least; Restarts of k-means++ on
	// the share Sample of steps.
	Clusters   int     `json:"clusters,omitempty"`
	PerCluster int     `json:"per_cluster,omitempty"`
	Restarts   int     `json:"restarts,omitempty"`
	Sample     float64 `json:"sample,omitempty"`
	// Rare is how often an action must have been seen more than in a state to be
	// known there.
	Rare int `json:"rare,omitempty"`
}

// Defaults are the settings of a method; see the sources at each.
func Defaults(method Method) Config {
	// What the deep methods share: 2 × 128 ReLU and γ 0.99 as in Raghu 2017 and
	// WD3QNE, Adam at 3e-4 in batches of 256 and target shares of 0.005 as in
	// IQL. Six thousand updates read 1.5 million steps: 17 passes over 10,000
	// stays of 9 steps.
	c := Config{Seed: 1, Discount: 0.99}
	if method.deep() {
		c.Hidden, c.Batch, c.Updates, c.LearningRate, c.Polyak = 128, 256, 6000, 3e-4, 0.005
	}
	switch method {
	case Clinician, BC:
		// Cross-entropy (d3rlpy 1e-3), stopped on held-out patients so that
		// probabilities are calibrated: they are divided by in evaluation.
		c.LearningRate, c.WeightDecay, c.Validation, c.Patience = 1e-3, 1e-4, 0.1, 5
	case D3QN:
		// Raghu 2017 (arXiv 1711.09602): dueling, double, prioritised replay with
		// the exponents of Schaul 2016, soft target copies, learning rate 1e-4.
		// Without its batch normalisation: inputs are standardised instead.
		c.LearningRate, c.Priority, c.PriorityCorrection = 1e-4, 0.6, 0.4
	case WD3QNE:
		// Wu 2023 (npj Digit Med 6:15) and its released code: streams of 256,
		// learning rate 1e-4, target copied each 100 batches, expertise below
		// SOFA 4. Its batch is the steps of 128 stays in turn; single steps of
		// many stays are drawn here, as for the others.
		c.LearningRate, c.Streams, c.TargetEvery, c.ExpertBelow = 1e-4, 256, 100, 4
	case CQL:
		// Kumar 2020 (arXiv 2006.04779), discrete, on double Q as in d3rlpy. Its α
		// of 1 is for returns of about 10, as published terminal rewards of ±15
		// are; returns are at most 1 here, so α is a tenth. With 1, CQL does what
		// clinicians do most.
		c.Conservative = 0.1
	case BCQ:
		// Fujimoto 2019 (arXiv 1910.01708), discrete: τ 0.3, penalty 0.01.
		c.Support, c.LogitPenalty = 0.3, 0.01
	case IQL:
		// Kostrikov 2022 (arXiv 2110.06169): τ 0.7, β 3, weights up to 100,
		// learning rate 3e-4, batch 256, Polyak 0.005, two Q networks, the
		// likeliest action at decision. β there is tuned to each task's rewards;
		// here it is about advantages in standard deviations.
		c.Expectile, c.Sharpness, c.MostWeight = 0.7, 3, 100
	case AIClinician:
		// Komorowski 2018: 750 clusters, 32 restarts of k-means++ on a quarter of
		// the steps, transitions seen 5 times or less removed, γ 0.99, policy
		// iteration. It had about 250,000 steps for its clusters; fewer steps get
		// fewer clusters. It drops single transitions, which leaves nothing of a
		// small log: rare pairs of state and action are dropped here, as the
		// authors of ICU-Sepsis do. Of its 500 models by the split the best by
		// its own estimate was kept; that choice is left out, and all stays are
		// learnt from. Nothing holds a lucky action back once it is known, so more
		// stays, which let rarer actions in, need not make it better.
		c.Clusters, c.PerCluster, c.Restarts, c.Sample, c.Rare = 750, 50, 32, 0.25, 5
	}
	return c
}

// What a file or a caller may ask for at most.
const (
	maxWidth    = 4096
	maxClusters = 100_000
)

func (c *Config) validate(method Method) error {
	bad := func(what string, v any) error {
		return fmt.Errorf("%w: %s: %s %v (hint: begin with Defaults)", ErrMethod, method, what, v)
	}
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	switch {
	case !(c.Discount > 0 && c.Discount <= 1):
		return bad("discount", c.Discount)
	case method == AIClinician:
		switch {
		case c.Clusters < 1 || c.Clusters > maxClusters:
			return bad("clusters", c.Clusters)
		case c.PerCluster < 1 || c.Restarts < 1:
			return bad("steps per cluster and restarts", [2]int{c.PerCluster, c.Restarts})
		case !(c.Sample > 0 && c.Sample <= 1):
			return bad("sample", c.Sample)
		case c.Rare < 0:
			return bad("rare", c.Rare)
		}
		return nil
	case !method.deep():
		return nil
	case c.Hidden < 1 || c.Hidden > maxWidth || c.Streams < 0 || c.Streams > maxWidth:
		return bad("widths", [2]int{c.Hidden, c.Streams})
	case c.Batch < 1 || c.Updates < 1 || c.TargetEvery < 0:
		return bad("batch, updates and target copies", [3]int{c.Batch, c.Updates, c.TargetEvery})
	case !(c.LearningRate > 0 && c.LearningRate < 1) || !share(c.WeightDecay) || !share(c.Polyak):
		return bad("learning rate, decay and Polyak share", [3]float64{c.LearningRate, c.WeightDecay, c.Polyak})
	case !share(c.Priority) || !share(c.PriorityCorrection) || !share(c.Support):
		return bad("replay exponents and support", [3]float64{c.Priority, c.PriorityCorrection, c.Support})
	case !(c.Conservative >= 0) || !(c.LogitPenalty >= 0) || math.IsInf(c.Conservative, 0) || math.IsInf(c.LogitPenalty, 0):
		return bad("conservatism and logit penalty", [2]float64{c.Conservative, c.LogitPenalty})
	case math.IsNaN(c.ExpertBelow) || math.IsInf(c.ExpertBelow, 0):
		return bad("SOFA of expertise", c.ExpertBelow)
	case method == IQL && !(c.Expectile >= 0.5 && c.Expectile < 1 && c.Sharpness >= 0 && c.MostWeight >= 1) || math.IsInf(c.Sharpness, 0) || math.IsInf(c.MostWeight, 0):
		return bad("expectile, sharpness and largest weight", [3]float64{c.Expectile, c.Sharpness, c.MostWeight})
	case (method == Clinician || method == BC) && !(c.Validation > 0 && c.Validation < 1 && c.Patience > 0):
		return bad("validation share and patience", [2]float64{c.Validation, float64(c.Patience)})
	}
	return nil
}
