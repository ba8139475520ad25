// SPDX-License-Identifier: Apache-2.0

package state

import (
	"math/rand/v2"
	"testing"
)

// This file: how long a timeline takes on charts of the size of real ones.

// busyChart is a seven-day stay with n measurements and hourly infusion rows.
func busyChart(n int) *Chart {
	r := rand.New(rand.NewPCG(1, 2))
	c := icuChart()
	c.Stay.Start = ago(168)
	for range n {
		f := FeatureAt(r.IntN(NumFeatures))
		c.Measurements = append(c.Measurements, measure(f.Name, f.ModelLo+(f.ModelHi-f.ModelLo)*r.Float64(), 168*r.Float64(), MethodArterial))
	}
	for h := range 168 {
		a := infusion(DrugNorepinephrine, 0.05+0.1*r.Float64(), UnitUgKgMin, float64(h)+1, float64(h))
		c.Administrations = append(c.Administrations, a, fluidRow(ClassCrystalloid, FormInfusion, 75, 75, float64(h)+1, float64(h)))
	}
	return c
}

func benchmarkBuild(b *testing.B, n int) {
	c := busyChart(n)
	cfg := DefaultConfig()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(c, t0, cfg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuild2k(b *testing.B)  { benchmarkBuild(b, 2000) }
func BenchmarkBuild25k(b *testing.B) { benchmarkBuild(b, 25000) }

// BenchmarkBuilder is one more step of a chart that is sorted already, as a
// cohort takes it.
func BenchmarkBuilder(b *testing.B) {
	bl, err := NewBuilder(busyChart(25000), DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bl.Build(t0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	tl, err := Build(busyChart(2000), t0, DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := tl.Digest(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTrim(b *testing.B) {
	c := busyChart(25000)
	for b.Loop() {
		c.Trim(t0, DefaultConfig())
	}
}
