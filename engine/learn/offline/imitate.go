// SPDX-License-Identifier: Apache-2.0

package offline

// This file: imitation. One fit serves two policies: Clinician decides as often
// as clinicians do, BC takes the likeliest of their actions.

// imitation is the cross-entropy of what was done.
type imitation struct {
	mem     *memory
	net     *network
	p       []float64
	now     *pass
	watched *pass // for validation
}

func newImitation(mem *memory, net *network, cfg *Config) *imitation {
	return &imitation{mem: mem, net: net, p: make([]float64, net.outputs),
		now: net.room(min(cfg.Batch, len(mem.imitated)), mem.x.Cols), watched: net.room(rowsAtOnce, mem.x.Cols)}
}

func (o *imitation) backward(theta, _, grad []float32, b *batch) float64 {
	o.mem.load(o.now.x, b.rows)
	out := o.net.forward(theta, o.now)
	sum, n := 0.0, float32(len(b.rows))
	for i, row := range b.rows {
		sum += cloning(o.now.grad.Row(i), out.Row(i), o.mem.steps[row], o.p, 1/n)
	}
	o.net.backward(theta, grad, o.now)
	return sum / float64(n)
}

// cloning is the negative log-likelihood of a step's action, and sets d to its
// derivative by the logits, times by. p is scratch.
func cloning(d, logits []float32, s *Step, p []float64, by float32) float64 {
	norm := softmax(p, logits, s.Allowed)
	for a := range d {
		d[a] = by * float32(p[a])
	}
	d[s.Action] -= by
	return norm - float64(logits[s.Action])
}

// loss is the mean on held-out patients.
func (o *imitation) loss(theta []float32) float64 {
	sum := 0.0
	for i := 0; i < len(o.mem.held); i += rowsAtOnce {
		rows := o.mem.held[i:min(i+rowsAtOnce, len(o.mem.held))]
		o.mem.load(o.watched.x, rows)
		out := o.net.forward(theta, o.watched)
		for j, row := range rows {
			s := o.mem.steps[row]
			sum += softmax(o.p, out.Row(j), s.Allowed) - float64(out.Row(j)[s.Action])
		}
	}
	return sum / float64(len(o.mem.held))
}
