// SPDX-License-Identifier: Apache-2.0

// Package world is the Clinical World Model: it simulates how an ICU patient's
// state may go on under a plan of norepinephrine and fluid.
//
// The native model (Model) forecasts usual care and, on top of it, what a plan
// does differently. An ensemble of small networks reads the timeline (last
// known values, their ages, trends, charting habits, treatment received) and
// gives for each of the next six 4-hour steps the change of every feature from
// its last known value, with a scale, together with the treatment that
// clinicians usually give in such a state. A plan's deviation from that usual
// treatment acts through an effect part of its own:
//
//	forecast(plan) = usual care + gain(state) x (plan - usual treatment)
//
// The gain on arterial pressure of norepinephrine is positive and saturating
// by construction; fluid may help or harm. Gains are learned only where doses
// were randomised, on simulated patients: in real records the sicker get more,
// and a model fitted to them would learn that norepinephrine lowers pressure.
// That makes the effects the simulator's, not measured ones, and the model
// card says so. What a plan does to pressure acts on the rest through the want
// of perfusion that it brings or spares, and every effect and change is taken
// only as far as patients who trained nothing bear it out.
//
// Skewed quantities live on a log scale and bounded ones on a bounded scale,
// and every band is projected into the feature's model range with
// DBP <= MAP <= SBP, so nothing impossible can come out. Intervals are
// calibrated on patients that trained nothing.
//
// Persistence, the second Forecaster, says that nothing changes. It is the
// baseline that the native model must beat.
//
// The package trusts a Timeline to hold only what was known at its time, and
// trusts nothing about a weights file before its hash is checked. A Forecaster
// is immutable after it is made.
package world
