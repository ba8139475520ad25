// SPDX-License-Identifier: Apache-2.0

package ope

// This file: estimating what clinicians did. A behaviour policy is wanted that
// is calibrated, not one that is often right: its probabilities are divided by.

import (
	"fmt"
	"math"
)

// Choices are logged actions with the states they were taken in.
type Choices[S any] struct {
	States  []S
	Actions []int
	// Weights are how often each counts, nil for all 1.
	Weights []float64
}

func (c Choices[S]) weight(i int) float64 {
	if c.Weights == nil {
		return 1
	}
	return c.Weights[i]
}

func (c Choices[S]) validate(actions int) error {
	if len(c.States) == 0 {
		return ErrEmpty
	}
	if len(c.Actions) != len(c.States) || c.Weights != nil && len(c.Weights) != len(c.States) {
		return fmt.Errorf("%w: %d states, %d actions, %d weights", ErrTrajectory, len(c.States), len(c.Actions), len(c.Weights))
	}
	for i, a := range c.Actions {
		if a < 0 || a >= actions {
			return fmt.Errorf("choice %d: action %d of %d: %w", i, a, actions, ErrOption)
		}
		if w := c.weight(i); !(w >= 0) || math.IsInf(w, 1) {
			return fmt.Errorf("choice %d: weight %v: %w", i, w, ErrOption)
		}
	}
	return nil
}

// TabularPolicy is b(a|s) by counting.
type TabularPolicy struct {
	p        [][]float64
	marginal []float64
}

// FitTabular counts actions in each of the states 0 … states−1. prior is how
// many choices, shared out as actions are over all states, are added to each:
// above 0 it keeps an action that was taken elsewhere from being impossible.
func FitTabular(c Choices[int], states, actions int, prior float64) (*TabularPolicy, error) {
	if err := c.validate(actions); err != nil {
		return nil, err
	}
	if states < 1 || !(prior >= 0) {
		return nil, fmt.Errorf("%d states with prior %v: %w", states, prior, ErrOption)
	}
	out := &TabularPolicy{p: make([][]float64, states), marginal: make([]float64, actions)}
	for s := range out.p {
		out.p[s] = make([]float64, actions)
	}
	total := 0.0
	for i, s := range c.States {
		if s < 0 || s >= states {
			return nil, fmt.Errorf("choice %d: state %d of %d: %w", i, s, states, ErrOption)
		}
		w := c.weight(i)
		out.p[s][c.Actions[i]] += w
		out.marginal[c.Actions[i]] += w
		total += w
	}
	if total == 0 {
		return nil, ErrEmpty
	}
	for a := range out.marginal {
		out.marginal[a] /= total
	}
	for _, p := range out.p {
		n := prior
		for _, v := range p {
			n += v
		}
		for a := range p {
			if n > 0 {
				p[a] = (p[a] + prior*out.marginal[a]) / n
			} else {
				p[a] = out.marginal[a]
			}
		}
	}
	return out, nil
}

// Probabilities is b(·|s); a state never seen gets the marginal. The slice is
// the policy's own.
func (t *TabularPolicy) Probabilities(state int) []float64 {
	if state < 0 || state >= len(t.p) {
		return t.marginal
	}
	return t.p[state]
}

// LogisticPolicy is multinomial logistic regression of the action on features.
type LogisticPolicy struct {
	mean, inverse []float64 // standardisation
	beta          []float64 // action-major, intercept first
	actions       int
}

// FitLogistic minimises the mean log loss plus penalty/2·‖β‖² over
// standardised features, by L-BFGS; the intercepts are not penalised. penalty
// must be above 0: separable choices have no finite fit. Use History for
// features that hold what was done before.
func FitLogistic(c Choices[[]float64], actions int, penalty float64) (*LogisticPolicy, error) {
	if err := c.validate(actions); err != nil {
		return nil, err
	}
	if !(penalty > 0) {
		return nil, fmt.Errorf("penalty %v: %w: want above 0", penalty, ErrOption)
	}
	d := len(c.States[0])
	out := &LogisticPolicy{mean: make([]float64, d), inverse: make([]float64, d), actions: actions}
	total := 0.0
	for i, x := range c.States {
		if err := features(x, d); err != nil {
			return nil, fmt.Errorf("choice %d: %w", i, err)
		}
		w := c.weight(i)
		total += w
		for j, v := range x {
			out.mean[j] += w * v
		}
	}
	if total == 0 {
		return nil, ErrEmpty
	}
	for j := range out.mean {
		out.mean[j] /= total
		variance := 0.0
		for i, x := range c.States {
			variance += c.weight(i) * (x[j] - out.mean[j]) * (x[j] - out.mean[j]) / total
		}
		if variance > 1e-24 { // a constant feature tells nothing
			out.inverse[j] = 1 / math.Sqrt(variance)
		}
	}
	rows := make([][]float64, len(c.States))
	for i, x := range c.States {
		rows[i] = out.standardise(x)
	}
	loss := softmaxLoss{rows: rows, choices: c, actions: actions, width: d + 1, penalty: penalty, total: total}
	beta, err := minimise(loss.value, make([]float64, actions*(d+1)))
	if err != nil {
		return nil, fmt.Errorf("fit behaviour policy: %w", err)
	}
	out.beta = beta
	return out, nil
}

// standardise gives the row of the regression, intercept first.
func (l *LogisticPolicy) standardise(x []float64) []float64 {
	out := make([]float64, len(l.mean)+1)
	out[0] = 1
	for j := range l.mean {
		out[j+1] = (x[j] - l.mean[j]) * l.inverse[j]
	}
	return out
}

// Probabilities is b(·|x).
func (l *LogisticPolicy) Probabilities(x []float64) []float64 {
	row := l.standardise(x)
	out := make([]float64, l.actions)
	scores(out, l.beta, row)
	softmax(out)
	return out
}

// scores are the linear scores of every action.
func scores(out, beta, row []float64) {
	for a := range out {
		b := beta[a*len(row) : (a+1)*len(row)]
		sum := 0.0
		for j, v := range row {
			sum += b[j] * v
		}
		out[a] = sum
	}
}

// softmax turns scores into probabilities and gives the log of their sum.
func softmax(z []float64) float64 {
	top := math.Inf(-1)
	for _, v := range z {
		top = max(top, v)
	}
	sum := 0.0
	for a, v := range z {
		z[a] = math.Exp(v - top)
		sum += z[a]
	}
	for a := range z {
		z[a] /= sum
	}
	return top + math.Log(sum)
}

// softmaxLoss is the penalised mean log loss of linear scores.
type softmaxLoss struct {
	rows           [][]float64
	choices        Choices[[]float64]
	actions, width int
	penalty, total float64
}

// value is the loss at beta; it writes the gradient when there is room for it.
func (l softmaxLoss) value(gradient, beta []float64) (loss float64) {
	clear(gradient)
	p := make([]float64, l.actions)
	for i, row := range l.rows {
		w := l.choices.weight(i) / l.total
		if w == 0 {
			continue
		}
		scores(p, beta, row)
		chosen := p[l.choices.Actions[i]]
		loss += w * (softmax(p) - chosen)
		if gradient == nil {
			continue
		}
		p[l.choices.Actions[i]]--
		for a, residual := range p {
			g := gradient[a*l.width : (a+1)*l.width]
			for j, v := range row {
				g[j] += w * residual * v
			}
		}
	}
	for k, b := range beta {
		if k%l.width != 0 {
			loss += l.penalty / 2 * b * b
			if gradient != nil {
				gradient[k] += l.penalty * b
			}
		}
	}
	return loss
}

// History gives the states of one episode with what was known of its past:
// one-hot blocks of the last lags actions (all zero before the start) and the
// step's number. Treatment depends on treatment before, and a behaviour model
// without it is miscalibrated.
func History(states [][]float64, logged []int, actions, lags int) ([][]float64, error) {
	if len(states) != len(logged) || actions < 1 || lags < 0 {
		return nil, fmt.Errorf("%w: %d states, %d actions", ErrTrajectory, len(states), len(logged))
	}
	out := make([][]float64, len(states))
	for t, x := range states {
		past := make([]float64, lags*actions+1)
		for k := 1; k <= lags && k <= t; k++ {
			a := logged[t-k]
			if a < 0 || a >= actions {
				return nil, fmt.Errorf("step %d: action %d of %d: %w", t-k, a, actions, ErrOption)
			}
			past[(k-1)*actions+a] = 1
		}
		past[len(past)-1] = float64(t)
		out[t] = append(append([]float64(nil), x...), past...)
	}
	return out, nil
}
