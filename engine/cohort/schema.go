// SPDX-License-Identifier: Apache-2.0

package cohort

// This file: the columns of a cohort file and how each is taken from and put
// into a Row.
//
//	source, patient, stay, hospital, sex, split   text
//	step            int64       1 at admission + 4 h
//	at              timestamp   decision time, microseconds, UTC
//	hours           double      since ICU admission
//	age_years       double      null when unknown
//	synthetic       bool
//	<feature>          double   value of the last step in the catalogue's unit, null when missing
//	<feature>_presence int64    0 missing, 1 carried, 2 measured
//	<feature>_age_h    double   hours from measurement to the decision time, null when missing
//	given_…         treatment in the step that ends at `at`: ne_max, ne_mean, ne_end (ug/kg/min),
//	                fluid_model, bolus, maintenance, carrier, blood (mL), level_vasopressor,
//	                level_fluid (0-4), vaso_known, fluid_known
//	sofa_…          resp, coag, liver, cardio, cns, renal (-1 unscored), total, scored
//	vent, vent_known               bool
//	died_in_hospital, died_90d     bool, null when unknown: labels, never features
//	timeline        JSON        the canonical timeline at the decision time

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

// column is one leaf of the schema. put returns the value of a row, get sets it.
type column struct {
	name string
	node parquet.Node
	put  func(*Row) parquet.Value
	get  func(*Row, parquet.Value) error
}

func text(name string, at func(*Row) *string) column {
	return column{name, parquet.String(),
		func(r *Row) parquet.Value { return parquet.ByteArrayValue([]byte(*at(r))) },
		func(r *Row, v parquet.Value) error { *at(r) = string(v.ByteArray()); return nil }}
}

func float(name string, at func(*Row) *float64) column {
	return column{name, parquet.Leaf(parquet.DoubleType),
		func(r *Row) parquet.Value { return parquet.DoubleValue(*at(r)) },
		func(r *Row, v parquet.Value) error { return setFloat(at(r), v.Double()) }}
}

func setFloat(to *float64, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("value is not finite")
	}
	*to = v
	return nil
}

func flag(name string, at func(*Row) *bool) column {
	return column{name, parquet.Leaf(parquet.BooleanType),
		func(r *Row) parquet.Value { return parquet.BooleanValue(*at(r)) },
		func(r *Row, v parquet.Value) error { *at(r) = v.Boolean(); return nil }}
}

func count(name string, lo, hi int, at func(*Row) *int) column {
	return column{name, parquet.Leaf(parquet.Int64Type),
		func(r *Row) parquet.Value { return parquet.Int64Value(int64(*at(r))) },
		func(r *Row, v parquet.Value) error {
			n := v.Int64()
			if n < int64(lo) || n > int64(hi) {
				return fmt.Errorf("%d is outside %d to %d", n, lo, hi)
			}
			*at(r) = int(n)
			return nil
		}}
}

// optional makes a column null while known says so.
func optional(c column, known func(*Row) bool, setKnown func(*Row)) column {
	put, get := c.put, c.get
	c.node = parquet.Optional(c.node)
	c.put = func(r *Row) parquet.Value {
		if !known(r) {
			return parquet.NullValue()
		}
		return put(r)
	}
	c.get = func(r *Row, v parquet.Value) error {
		if v.IsNull() {
			return nil
		}
		setKnown(r)
		return get(r, v)
	}
	return c
}

// columns lists every leaf, sorted by name as Parquet groups are.
var columns = func() []column {
	cols := []column{
		text("source", func(r *Row) *string { return &r.Source }),
		text("patient", func(r *Row) *string { return &r.Patient }),
		text("stay", func(r *Row) *string { return &r.Stay }),
		text("hospital", func(r *Row) *string { return &r.Hospital }),
		text("sex", func(r *Row) *string { return &r.Sex }),
		text("split", func(r *Row) *string { return (*string)(&r.Part) }),
		count("step", 1, 1<<20, func(r *Row) *int { return &r.Step }),
		float("hours", func(r *Row) *float64 { return &r.Hours }),
		optional(float("age_years", func(r *Row) *float64 { return &r.AgeYears }),
			func(r *Row) bool { return r.AgeKnown }, func(r *Row) { r.AgeKnown = true }),
		flag("synthetic", func(r *Row) *bool { return &r.Synthetic }),
		flag("vent", func(r *Row) *bool { return &r.Vent }),
		flag("vent_known", func(r *Row) *bool { return &r.VentKnown }),
		optional(flag("died_in_hospital", func(r *Row) *bool { return &r.DiedInHospital }),
			func(r *Row) bool { return r.OutcomeKnown }, func(r *Row) { r.OutcomeKnown = true }),
		optional(flag("died_90d", func(r *Row) *bool { return &r.DiedWithin90d }),
			func(r *Row) bool { return r.Died90dKnown }, func(r *Row) { r.Died90dKnown = true }),
		{"at", parquet.Timestamp(parquet.Microsecond),
			func(r *Row) parquet.Value { return parquet.Int64Value(r.At.UnixMicro()) },
			func(r *Row, v parquet.Value) error { r.At = time.UnixMicro(v.Int64()).UTC(); return nil }},
		{"timeline", parquet.JSON(),
			func(r *Row) parquet.Value { return parquet.ByteArrayValue(r.Canonical) },
			func(r *Row, v parquet.Value) error { r.Canonical = slices.Clone(v.ByteArray()); return nil }},
		float("given_ne_max", func(r *Row) *float64 { return &r.Given.NEMaxUgKgMin }),
		float("given_ne_mean", func(r *Row) *float64 { return &r.Given.NEMeanUgKgMin }),
		float("given_ne_end", func(r *Row) *float64 { return &r.Given.NEEndUgKgMin }),
		float("given_fluid_model", func(r *Row) *float64 { return &r.Given.FluidModelMl }),
		float("given_bolus", func(r *Row) *float64 { return &r.Given.BolusMl }),
		float("given_maintenance", func(r *Row) *float64 { return &r.Given.MaintenanceMl }),
		float("given_carrier", func(r *Row) *float64 { return &r.Given.CarrierMl }),
		float("given_blood", func(r *Row) *float64 { return &r.Given.BloodMl }),
		flag("given_vaso_known", func(r *Row) *bool { return &r.Given.VasoKnown }),
		flag("given_fluid_known", func(r *Row) *bool { return &r.Given.FluidKnown }),
		count("given_level_vasopressor", 0, 4, func(r *Row) *int { return &r.Given.Levels.Vasopressor }),
		count("given_level_fluid", 0, 4, func(r *Row) *int { return &r.Given.Levels.Fluid }),
		count("sofa_resp", -1, 4, func(r *Row) *int { return &r.SOFA.Resp }),
		count("sofa_coag", -1, 4, func(r *Row) *int { return &r.SOFA.Coag }),
		count("sofa_liver", -1, 4, func(r *Row) *int { return &r.SOFA.Liver }),
		count("sofa_cardio", -1, 4, func(r *Row) *int { return &r.SOFA.Cardio }),
		count("sofa_cns", -1, 4, func(r *Row) *int { return &r.SOFA.CNS }),
		count("sofa_renal", -1, 4, func(r *Row) *int { return &r.SOFA.Renal }),
		count("sofa_total", 0, 24, func(r *Row) *int { return &r.SOFA.Total }),
		count("sofa_scored", 0, 6, func(r *Row) *int { return &r.SOFA.Scored }),
	}
	for i, f := range state.Catalogue() {
		cols = append(cols, featureColumns(i, string(f.Name))...)
	}
	slices.SortFunc(cols, func(a, b column) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return cols
}()

// nullable says which columns are optional, by number.
var nullable = func() (out []bool) {
	for _, c := range columns {
		out = append(out, c.node.Optional())
	}
	return out
}()

func featureColumns(i int, name string) []column {
	there := func(r *Row) bool { return r.Presence[i] != state.Missing }
	nothing := func(*Row) {}
	return []column{
		optional(float(name, func(r *Row) *float64 { return &r.Value[i] }), there, nothing),
		optional(float(name+"_age_h", func(r *Row) *float64 { return &r.AgeH[i] }), there, nothing),
		{name + "_presence", parquet.Leaf(parquet.Int64Type),
			func(r *Row) parquet.Value { return parquet.Int64Value(int64(r.Presence[i])) },
			func(r *Row, v parquet.Value) error {
				p := v.Int64()
				if p < int64(state.Missing) || p > int64(state.Measured) {
					return fmt.Errorf("presence %d", p)
				}
				r.Presence[i] = state.Presence(p)
				return nil
			}},
	}
}

// compression is the fast level: timelines that follow one another are so alike
// that a better one saves little.
var compression = &zstd.Codec{Level: zstd.SpeedFastest}

var schema = func() *parquet.Schema {
	group := parquet.Group{}
	for _, c := range columns {
		group[c.name] = parquet.Compressed(c.node, compression)
	}
	return parquet.NewSchema("cohort", group)
}()
