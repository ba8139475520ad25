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
	"regexp"
	"strconv"
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

func lines() Lines {
	return Lines{Title: "Error by horizon", Desc: "The model's error is lowest at every horizon.", XLabel: "hours ahead", YLabel: "mean error", XStep: 4, FromZero: true, Paper: true,
		Series: []Series{{Name: "model", Marks: true, Points: []Point{{4, 0.41}, {8, 0.48}, {12, math.NaN()}, {16, 0.54}}},
			{Name: "persistence", Points: []Point{{4, 0.45}, {8, 0.54}, {12, 0.58}, {16, 0.61}}},
			{Name: "truth", Like: 1, Points: []Point{{4, 0.40}, {16, 0.5}}}}}
}

func reliability() Lines {
	return Lines{Title: "Calibration", Desc: "Observed against predicted.", XLabel: "predicted", YLabel: "observed", Unit: true,
		Series: []Series{{Name: "bins", Bare: true, Points: []Point{{0.05, 0.04}, {0.5, 0.6}, {0.9, 1}}, Low: []float64{0, 0.4, math.NaN()}, High: []float64{0.1, 0.8, 1}}}}
}

func rows() Rows {
	return Rows{Title: "Coverage", Desc: "Share inside the interval, by variable.", XLabel: "share inside", Series: []string{"80 %", "95 %"}, Targets: []float64{0.8, 0.95}, Paper: true,
		Rows: []Row{{Name: "MAP, mmHg", Values: []float64{0.79, 0.95}}, {Name: "lactate, mmol/L", Values: []float64{0.83, math.Inf(1)}}}}
}

func forest() Rows {
	return Rows{Title: "Values", Desc: "Value of each policy with its interval, by estimator.", XLabel: "value", Series: []string{"WIS", "DR"}, Targets: []float64{5}, Paper: true,
		Rows: []Row{
			{Name: "clinicians", Values: []float64{5, 5.2}, Low: []float64{3, 4}, High: []float64{7, 6.5}},
			{Name: "random", Values: []float64{1, math.NaN()}, Low: []float64{-4, math.NaN()}, High: []float64{6, math.NaN()}},
		}}
}

func TestFiguresMatchTheirGoldenFiles(t *testing.T) {
	golden(t, "fan.svg", fan().SVG())
	golden(t, "lines.svg", lines().SVG())
	golden(t, "reliability.svg", reliability().SVG())
	golden(t, "rows.svg", rows().SVG())
	golden(t, "forest.svg", forest().SVG())
}

func TestTextIsEscapedEverywhere(t *testing.T) {
	evil := `<script>alert("1")</script>&'` + "\x00\x1b"
	f := fan()
	f.Title, f.Desc, f.XLabel, f.YLabel, f.GoalLabel = evil, evil, evil, evil, evil
	f.Plans[0].Name = evil
	wellFormed(t, f.SVG())
	l, r := lines(), rows()
	l.Title, l.Desc, l.XLabel, l.YLabel, l.Series[0].Name = evil, evil, evil, evil, evil
	r.Title, r.Desc, r.XLabel, r.Series[0], r.Rows[0].Name = evil, evil, evil, evil, evil
	wellFormed(t, l.SVG())
	wellFormed(t, r.SVG())
}

func TestAFigureWithoutDataIsStillAFigure(t *testing.T) {
	wellFormed(t, Fan{}.SVG())
	wellFormed(t, Lines{}.SVG())
	wellFormed(t, Rows{}.SVG())
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
		line := Series{Name: "s", Points: points, Marks: true}
		row := Row{Name: "r"}
		for _, q := range points {
			line.Low, line.High, row.Values = append(line.Low, q.X), append(line.High, q.Y), append(row.Values, q.Y)
		}
		for _, unit := range []bool{false, true} {
			wellFormed(rt, Lines{Series: []Series{line}, Unit: unit, FromZero: !unit, XStep: value.Draw(rt, "step")}.SVG())
		}
		wellFormed(rt, Rows{Rows: []Row{row}, Series: []string{"s"}, Targets: row.Values}.SVG())
		if !bytes.Equal(f.SVG(), f.SVG()) {
			rt.Fatalf("two drawings of one figure differ")
		}
	})
}

func panels() Panels {
	return Panels{
		Title: "MAP forecast", Unit: "mmHg", FromH: -12, XStep: 4, Floor: 0, Goal: 65, GoalName: "goal 65",
		History: []Point{{-16, 90}, {-8, 71}, {-4, math.NaN()}, {0, 60}}, Newest: &Point{-0.2, 56},
		Plans: []Panel{
			{Name: "Current treatment", Desc: "MAP falls.", Points: []FanPoint{{4, 59, 52, 67, 48, 71}, {8, 60, 50, 70, 45, 75}}},
			{Name: "Suggested", Desc: "MAP rises.", Points: []FanPoint{{4, 66, 59, 74, 55, 78}, {8, 68, 58, 78, 52, 82}}},
		},
	}
}

func TestPanelsAreDrawnTheSameOnEveryMachine(t *testing.T) {
	golden(t, "panel.svg", panels().SVG(1))
}

func TestPanelsOfOneQuantityHaveTheSameAxes(t *testing.T) {
	p := panels()
	one := p
	one.Plans = p.Plans[:1]
	if p.plot() == one.plot() {
		t.Error("the second plan does not widen the axes")
	}
	axis := regexp.MustCompile(`text-anchor="end"[^>]*>[^<]*<`)
	a, b := axis.FindAll(p.SVG(0), -1), axis.FindAll(p.SVG(1), -1)
	if len(a) < 2 || string(bytes.Join(a, nil)) != string(bytes.Join(b, nil)) {
		t.Errorf("the y axes differ: %s, %s", a, b)
	}
	if bytes.Contains(p.SVG(0), []byte(`stroke-dasharray="2 3"`)) || !bytes.Contains(p.SVG(1), []byte(`stroke-dasharray="2 3"`)) {
		t.Error("the line of current treatment belongs into the other panels, and only there")
	}
}

func TestNoPanelIsEverMalformed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(math.Inf(1)), rapid.Float64Range(-1e3, 1e3))
		p := Panels{
			Title: rapid.String().Draw(t, "title"), Unit: rapid.String().Draw(t, "unit"), FromH: value.Draw(t, "from"),
			XStep: value.Draw(t, "step"), Floor: value.Draw(t, "floor"), Goal: value.Draw(t, "goal"), GoalName: rapid.String().Draw(t, "goal name"),
			History: []Point{{value.Draw(t, "hx"), value.Draw(t, "hy")}}, Newest: &Point{value.Draw(t, "nx"), value.Draw(t, "ny")},
		}
		for range rapid.IntRange(1, 3).Draw(t, "plans") {
			q := Panel{Name: rapid.String().Draw(t, "name"), Desc: rapid.String().Draw(t, "desc"), Against: rapid.IntRange(-1, 4).Draw(t, "against")}
			for range rapid.IntRange(0, 3).Draw(t, "points") {
				q.Points = append(q.Points, FanPoint{value.Draw(t, "x"), value.Draw(t, "m"), value.Draw(t, "lo"), value.Draw(t, "hi"), value.Draw(t, "lo95"), value.Draw(t, "hi95")})
			}
			p.Plans = append(p.Plans, q)
		}
		for i := range p.Plans {
			wellFormed(t, p.SVG(i))
		}
	})
}

// TestThirteenSeriesCanBeToldApart: as many as are compared in one figure. Each
// has a colour and a dash of its own, and the colours show on white and on black.
func TestThirteenSeriesCanBeToldApart(t *testing.T) {
	inks, lines := map[string]int{}, map[string]int{}
	for i := range 13 {
		if at, taken := inks[colour(i)]; taken {
			t.Errorf("series %d and %d are both %s", at, i, colour(i))
		}
		if at, taken := lines[dash(i)]; taken {
			t.Errorf("series %d and %d have the dash %q", at, i, dash(i))
		}
		inks[colour(i)], lines[dash(i)] = i, i
		l := luminance(t, colour(i))
		if onWhite, onBlack := 1.05/(l+0.05), (l+0.05)/(luminance(t, "#111111")+0.05); onWhite < 2.2 || onBlack < 2.2 {
			t.Errorf("%s has contrast %.1f on white, %.1f on near-black", colour(i), onWhite, onBlack)
		}
	}
}

// luminance is the relative luminance of WCAG 2.2, 0 to 1.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	v, err := strconv.ParseUint(hex[1:], 16, 24)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(c uint64) float64 {
		x := float64(c&0xff) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(v>>16) + 0.7152*linear(v>>8) + 0.0722*linear(v)
}
