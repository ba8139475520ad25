// SPDX-License-Identifier: Apache-2.0

package ucum

// This file: the table of unit symbols. Factors are to base units (m, g, s,
// mol, eq, K, [iU], [pH], osm), from the UCUM essence tables.

type atom struct {
	unit   Unit
	metric bool // takes a metric prefix
}

var one = Unit{factor: 1}

// prefixes are tried in this order; "da" before "d".
var prefixes = []struct {
	symbol string
	factor float64
}{
	{"da", 1e1}, {"f", 1e-15}, {"p", 1e-12}, {"n", 1e-9}, {"u", 1e-6}, {"m", 1e-3},
	{"c", 1e-2}, {"d", 1e-1}, {"h", 1e2}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9},
}

// of builds a unit from a factor and (base, power) pairs.
func of(factor float64, powers ...int) Unit {
	u := Unit{factor: factor}
	for i := 0; i+1 < len(powers); i += 2 {
		u.dim[powers[i]] = int8(powers[i+1])
	}
	return u
}

// pascal in base units is kg/(m.s2), with the gram as base.
var pascal = []int{int(mass), 1, int(length), -1, int(duration), -2}

var atoms = map[string]atom{
	"m":         {of(1, int(length), 1), true},
	"g":         {of(1, int(mass), 1), true},
	"s":         {of(1, int(duration), 1), true},
	"min":       {of(60, int(duration), 1), false},
	"h":         {of(3600, int(duration), 1), false},
	"d":         {of(86400, int(duration), 1), false},
	"wk":        {of(604800, int(duration), 1), false},
	"mo":        {of(2629800, int(duration), 1), false},
	"a":         {of(31557600, int(duration), 1), false},
	"L":         {of(1e-3, int(length), 3), true},
	"l":         {of(1e-3, int(length), 3), true},
	"mol":       {of(1, int(substance), 1), true},
	"eq":        {of(1, int(equivalents), 1), true},
	"osm":       {of(1, int(osmoles), 1), true},
	"K":         {of(1, int(temperature), 1), true},
	"[iU]":      {of(1, int(activity), 1), true},
	"[IU]":      {of(1, int(activity), 1), true},
	"[pH]":      {of(1, int(acidity), 1), false},
	"U":         {of(1e-6/60, int(substance), 1, int(duration), -1), true},
	"kat":       {of(1, int(substance), 1, int(duration), -1), true},
	"%":         {of(1e-2), false},
	"Pa":        {of(1e3, pascal...), true},
	"bar":       {of(1e8, pascal...), true},
	"atm":       {of(101325e3, pascal...), false},
	"m[Hg]":     {of(133.3220e6, pascal...), true},
	"[in_i'Hg]": {of(133.3220e6*0.0254, pascal...), false},
	"g%":        {of(1e4, int(mass), 1, int(length), -3), true},
	"m[H2O]":    {of(9.80665e6, pascal...), true},
	"[psi]":     {of(6894.757293168361e3, pascal...), false},
	"[in_i]":    {of(0.0254, int(length), 1), false},
	"[ft_i]":    {of(0.3048, int(length), 1), false},
	"[lb_av]":   {of(453.59237, int(mass), 1), false},
	"[oz_av]":   {of(28.349523125, int(mass), 1), false},
	"dyn":       {of(1e-2, int(mass), 1, int(length), 1, int(duration), -2), true},
	"N":         {of(1e3, int(mass), 1, int(length), 1, int(duration), -2), true},
	"J":         {of(1e3, int(mass), 1, int(length), 2, int(duration), -2), true},
	"W":         {of(1e3, int(mass), 1, int(length), 2, int(duration), -3), true},
	"Hz":        {of(1, int(duration), -1), true},
	"cal":       {of(4184, int(mass), 1, int(length), 2, int(duration), -2), true},
	"t":         {of(1e6, int(mass), 1), true},
	"[ppm]":     {of(1e-6), false},
	"[ppb]":     {of(1e-9), false},
	"[yd_i]":    {of(0.9144, int(length), 1), false},
	"[gr]":      {of(0.06479891, int(mass), 1), false},
	"[foz_us]":  {of(2.95735295625e-5, int(length), 3), false},
	"[tsp_us]":  {of(4.92892159375e-6, int(length), 3), false},
	"[tbs_us]":  {of(1.478676478125e-5, int(length), 3), false},
	"[cup_us]":  {of(2.365882365e-4, int(length), 3), false},
}

// affine units have an offset and never take part in products.
var affine = map[string]Unit{
	"Cel":    {dim: of(1, int(temperature), 1).dim, factor: 1, offset: 273.15, affine: true},
	"[degF]": {dim: of(1, int(temperature), 1).dim, factor: 5.0 / 9, offset: 459.67 * 5 / 9, affine: true},
}
