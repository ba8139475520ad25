// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("golden file: %v (run the test with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s changed; look at it, then run with -update", name)
	}
}

// wellFormed fails the test unless svg is XML with no number that is not one.
func wellFormed(t interface{ Fatalf(string, ...any) }, svg []byte) {
	dec := xml.NewDecoder(bytes.NewReader(svg))
	for {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "<script", "style=", "href"} {
		if bytes.Contains(svg, []byte(bad)) {
			t.Fatalf("figure holds %q:\n%s", bad, svg)
		}
	}
}

func fan() Fan {
	return Fan{
		Title: "MAP forecast", Desc: "MAP falls under current treatment.",
		XLabel: "hours from now", YLabel: "MAP, mmHg",
		History: []Point{{-8, 71}, {-4, math.NaN()}, {-2, 64}, {0, 58}},
		Plans: []FanPlan{
			{Name: "current treatment", Points: []FanPoint{{4, 59, 52, 67, 48, 71}, {8, 60, 50, 70, 45, 75}}},
			{Name: "suggested", Strong: true, Points: []FanPoint{{4, 66, 59, 74, 55, 78}, {8, 68, 58, 78, 52, 82}}},
		},
		Goal: 65, GoalLabel: "goal 65",
	}
}

func TestFiguresMatchTheirGoldenFiles(t *testing.T) {
	golden(t, "fan.svg", fan().SVG())
}

func TestTextIsEscapedEverywhere(t *testing.T) {
	evil := `<script>alert("1")</script>&'` + "\x00\x1b"
	f := fan()
	f.Title, f.Desc, f.XLabel, f.YLabel, f.GoalLabel = evil, evil, evil, evil, evil
	f.Plans[0].Name = evil
	wellFormed(t, f.SVG())
}

func TestAFigureWithoutDataIsStillAFigure(t *testing.T) {
	wellFormed(t, Fan{}.SVG())
}

func TestAnyNumbersGiveAWellFormedFigure(t *testing.T) {
	value := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(math.Inf(1)), rapid.Just(0.0), rapid.Float64Range(-100, 100))
	rapid.Check(t, func(rt *rapid.T) {
		var points []Point
		var forecast []FanPoint
		for range rapid.IntRange(0, 8).Draw(rt, "n") {
			points = append(points, Point{value.Draw(rt, "x"), value.Draw(rt, "y")})
			forecast = append(forecast, FanPoint{value.Draw(rt, "x"), value.Draw(rt, "m"), value.Draw(rt, "lo"), value.Draw(rt, "hi"), value.Draw(rt, "lo95"), value.Draw(rt, "hi95")})
		}
		f := Fan{Title: "t", Desc: "d", History: points, Plans: []FanPlan{{Name: "p", Points: forecast, Strong: true}}, Goal: value.Draw(rt, "goal"), GoalLabel: "goal"}
		wellFormed(rt, f.SVG())
		if !bytes.Equal(f.SVG(), f.SVG()) {
			rt.Fatalf("two drawings of one figure differ")
		}
	})
}
