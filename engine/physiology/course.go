// SPDX-License-Identifier: Apache-2.0

package physiology

// This file: Course, what has happened to a patient, with the truth for tests.

import "time"

// Course is one stay up to a time: the truth, and (chart.go) what a hospital
// charted of it.
type Course struct {
	patient Patient
	// Holes makes the chart incomplete on purpose (MissingData): no weight, no
	// lactate, no blood pressure in the last three hours.
	holes bool
}

// Moments are the five-minute steps since admission. The slice is shared: do
// not change it.
func (c Course) Moments() []Moment { return c.patient.log }

// Until is the time the course has reached.
func (c Course) Until() time.Time { return c.patient.Now() }

// Died says whether the patient died in this stay.
func (c Course) Died() bool { return c.patient.end == endDied }

// Septic says whether the patient has an infection with organ dysfunction as
// its cause: the label no chart carries.
func (c Course) Septic() bool { return c.patient.traits.septic }

// Last is the newest moment; the zero Moment before the first step.
func (c Course) Last() Moment {
	if n := len(c.patient.log); n > 0 {
		return c.patient.log[n-1]
	}
	return Moment{}
}

// MeanMAP is the mean true MAP (mmHg) over the last hours of the course; 0 when
// it is shorter than one step.
func (c Course) MeanMAP(hours float64) float64 {
	log := c.patient.log
	k := min(len(log), int(hours*stepsPerHour))
	if k == 0 {
		return 0
	}
	sum := 0.0
	for _, m := range log[len(log)-k:] {
		sum += m.body.mapMmHg
	}
	return sum / float64(k)
}

// Contrast runs the same patient under two treatments for the given hours and
// returns both futures; they meet the same chance, so that every difference is
// the treatment's.
func (p *Patient) Contrast(hours float64, a, b Treatment) (Course, Course) {
	return p.Clone().Run(hours, a), p.Clone().Run(hours, b)
}

// EndAt is the same course moved in time so that it ends at t (to the minute).
func (c Course) EndAt(t time.Time) Course {
	p := c.patient.Clone()
	p.AdmitAt(t.UTC().Truncate(time.Minute).Add(-p.Now().Sub(p.admit)))
	return Course{patient: *p, holes: c.holes}
}
