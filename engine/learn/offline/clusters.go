// SPDX-License-Identifier: Apache-2.0

package offline

// This file: clusters of features by k-means++ (Arthur and Vassilvitskii 2007).

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
)

// clusters are centres in standardised features.
type clusters struct {
	scale  *scale
	centre [][]float32
}

// state is the state of an observation: the nearest cluster, or, without
// clusters, the one it names.
func (c *clusters) state(o *Observation) int {
	if c == nil {
		return o.State
	}
	x := make([]float32, len(o.Features))
	c.scale.apply(x, o.Features)
	at, _ := nearest(c.centre, x)
	return at
}

// nearest is the closest centre, the first of equals, and its squared distance.
func nearest(centre [][]float32, x []float32) (at int, least float64) {
	least = math.Inf(1)
	for k, c := range centre {
		if d := apart(c, x, least); d < least {
			at, least = k, d
		}
	}
	return at, least
}

// apart is the squared distance, or some number above limit where it is above.
func apart(a, b []float32, limit float64) (sum float64) {
	for j, v := range a {
		d := float64(v - b[j])
		if sum += d * d; sum > limit {
			return sum
		}
	}
	return sum
}

const (
	lloydRounds = 100
	lloydMoved  = 1e-6 // of the distance; less is no progress
)

// fitClusters keeps the tightest of some restarts, each on a sample of steps.
func fitClusters(ctx context.Context, data *Dataset, cfg *Config) (*clusters, error) {
	c := &clusters{scale: newScale(data)}
	rng := rand.New(rand.NewPCG(cfg.Seed, seedOf(AIClinician)))
	x := make([][]float32, 0, data.Steps())
	for i := range data.Episodes {
		for t := range data.Episodes[i].Steps {
			row := make([]float32, data.Inputs)
			c.scale.apply(row, data.Episodes[i].Steps[t].Features)
			x = append(x, row)
		}
	}
	k := max(1, min(cfg.Clusters, len(x)/cfg.PerCluster))
	tightest := math.Inf(1)
	for range cfg.Restarts {
		sample := make([][]float32, 0, len(x))
		for _, at := range rng.Perm(len(x))[:min(len(x), max(k, int(cfg.Sample*float64(len(x)))))] {
			sample = append(sample, x[at])
		}
		centre := spread(rng, sample, k)
		before := math.Inf(1)
		for range lloydRounds {
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("%s: stopped: %w", AIClinician, err)
			}
			sum := move(centre, sample)
			if before-sum <= lloydMoved*sum {
				break
			}
			before = sum
		}
		total := 0.0
		for _, row := range sample {
			_, d := nearest(centre, row)
			total += d
		}
		if total /= float64(len(sample)); total < tightest {
			tightest, c.centre = total, centre
		}
	}
	return c, nil
}

// spread draws k centres, each with probability by its squared distance from
// those before. Where every row lies on one already, there are fewer.
func spread(rng *rand.Rand, x [][]float32, k int) [][]float32 {
	centre := [][]float32{append([]float32(nil), x[rng.IntN(len(x))]...)}
	far := make([]float64, len(x))
	for i := range far {
		far[i] = math.Inf(1)
	}
	for len(centre) < k {
		sum := 0.0
		for i, row := range x {
			far[i] = min(far[i], apart(centre[len(centre)-1], row, far[i]))
			sum += far[i]
		}
		if sum == 0 {
			break
		}
		mark, at := rng.Float64()*sum, -1
		for i, d := range far {
			if d > 0 {
				at = i
				if mark -= d; mark < 0 {
					break
				}
			}
		}
		centre = append(centre, append([]float32(nil), x[at]...))
	}
	return centre
}

// move puts every centre into the middle of its rows and returns the sum of
// squared distances that there was. One without rows stays.
func move(centre, x [][]float32) (total float64) {
	sums, n := make([][]float64, len(centre)), make([]float64, len(centre))
	for k := range sums {
		sums[k] = make([]float64, len(centre[k]))
	}
	for _, row := range x {
		at, d := nearest(centre, row)
		total += d
		n[at]++
		for j, v := range row {
			sums[at][j] += float64(v)
		}
	}
	for k, sum := range sums {
		for j := range sum {
			if n[k] > 0 {
				centre[k][j] = float32(sum[j] / n[k])
			}
		}
	}
	return total
}
