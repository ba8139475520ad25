// SPDX-License-Identifier: Apache-2.0

package drift

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestEvidenceIsTheSumOfAllBetsFromEveryStart compares the recursion with the
// definition: a bet started at each outcome, kept to the end, summed.
func TestEvidenceIsTheSumOfAllBetsFromEveryStart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outcomes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Outcome {
			return Outcome{rapid.Bool().Draw(t, "inside"), rapid.Float64Range(0, 1).Draw(t, "chance"), rapid.Bool().Draw(t, "goal")}
		}), 0, 40).Draw(t, "outcomes")
		var d Detector
		for _, o := range outcomes {
			d.Add(o)
		}
		want := 0.0
		for start := range outcomes {
			var stake [bets]float64
			for i := range stake {
				stake[i] = 1
			}
			for _, o := range outcomes[start:] {
				for i, e := range factors(o) {
					stake[i] *= e
				}
			}
			for _, s := range stake {
				want += s / float64(bets)
			}
		}
		if got := d.Evidence(); math.Abs(got-want) > 1e-9*math.Max(1, want) {
			t.Fatalf("evidence %v, by definition %v", got, want)
		}
	})
}

// TestNoBetWinsOnAverageWhileForecastsHold is the reason for the false alarm
// rate: the mean factor in closed form, at every share and chance allowed.
func TestNoBetWinsOnAverageWhileForecastsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		miss := rapid.Float64Range(MissLow, MissHigh).Draw(t, "miss")
		chance := rapid.Float64Range(0, 1).Draw(t, "chance")
		truly := rapid.Float64Range(math.Max(0, chance-Tolerance), math.Min(1, chance+Tolerance)).Draw(t, "true chance")
		var mean [bets]float64
		for _, inside := range []bool{true, false} {
			for _, atGoal := range []bool{true, false} {
				weight := miss
				if inside {
					weight = 1 - miss
				}
				if atGoal {
					weight *= truly
				} else {
					weight *= 1 - truly
				}
				for i, e := range factors(Outcome{inside, chance, atGoal}) {
					if e < 0 {
						t.Fatalf("bet %d pays %v", i, e)
					}
					mean[i] += weight * e
				}
			}
		}
		for i, m := range mean {
			if m > 1+1e-12 {
				t.Fatalf("bet %d wins %v on average", i, m)
			}
		}
	})
}

// run counts outcomes until the evidence reaches a threshold, or most.
func run(r *rand.Rand, miss, bias, threshold float64, most int) int {
	var d Detector
	for n := 1; n <= most; n++ {
		chance := r.Float64()
		d.Add(Outcome{r.Float64() >= miss, chance, r.Float64() < chance+bias})
		if d.Evidence() >= threshold {
			return n
		}
	}
	return most
}

func TestFalseAlarmsAreAsRareAsStatedAtTheEdgeOfWhatIsAllowed(t *testing.T) {
	for _, miss := range []float64{MissLow, 0.2, MissHigh} {
		r := rand.New(rand.NewPCG(5, 11))
		const threshold, runs = 200.0, 400
		sum := 0
		for range runs {
			sum += run(r, miss, Tolerance, threshold, 20*threshold)
		}
		if mean := float64(sum) / runs; mean < threshold {
			t.Errorf("misses %.2f: on average an alarm after %.0f outcomes, stated are at least %.0f", miss, mean, threshold)
		}
	}
}

func TestDriftIsFound(t *testing.T) {
	for _, c := range []struct {
		name       string
		miss, bias float64
		within     int // outcomes, on average, at the default rate
	}{
		{"intervals that hold 60 % are found within two hundred outcomes", 0.4, 0, 200},
		{"intervals that hold half are found within a hundred", 0.5, 0, 100},
		{"intervals that hold everything are found within a hundred", 0, 0, 100},
		{"chances that are 30 points too low are found within five hundred", 0.2, 0.3, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, sum := rand.New(rand.NewPCG(7, 13)), 0
			const runs = 100
			for range runs {
				sum += run(r, c.miss, c.bias, DefaultFalseAlarm, 5000)
			}
			t.Logf("found after %d outcomes on average", sum/runs)
			if sum/runs > c.within {
				t.Errorf("found after %d outcomes on average, want %d", sum/runs, c.within)
			}
		})
	}
}

func TestASummaryIsOfTheNewestOutcomes(t *testing.T) {
	var d Detector
	if s := d.Summary(); s != (Summary{}) {
		t.Errorf("nothing sums to %+v", s)
	}
	for range Recent {
		d.Add(Outcome{Inside: false, Chance: 1, AtGoal: true})
	}
	for range Recent {
		d.Add(Outcome{Inside: true, Chance: 0.25, AtGoal: false})
	}
	if s := d.Summary(); s.Outcomes != 2*Recent || s.Recent != Recent || math.Abs(s.Inside-1) > 1e-9 || math.Abs(s.Chance-0.25) > 1e-9 || s.AtGoal != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAChanceThatIsNoneDoesNotBreakTheEvidence(t *testing.T) {
	var d Detector
	for _, chance := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -3, 7} {
		for range 2000 {
			d.Add(Outcome{Chance: chance})
		}
		if e := d.Evidence(); math.IsNaN(e) || math.IsInf(e, 0) || e < 0 {
			t.Errorf("chance %v: evidence %v", chance, e)
		}
	}
}

func TestTheRateOfFalseAlarmsHasBounds(t *testing.T) {
	for _, n := range []int{-1, 0, 99, MaxFalseAlarm + 1} {
		if err := Check(n); !errors.Is(err, ErrFalseAlarm) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if err := Check(DefaultFalseAlarm); err != nil {
		t.Error(err)
	}
}
