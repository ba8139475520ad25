// SPDX-License-Identifier: Apache-2.0

package fhir

// This file: FHIR dates and times. A partial date is not an instant; a time
// without a zone could be up to a day off and is not an instant either.

import (
	"errors"
	"strings"
	"time"
)

// Reasons why a time is not usable.
var (
	errNoTime   = errors.New("no time")
	errNoZone   = errors.New("time without a zone")
	errDateOnly = errors.New("date without a time")
	errBadTime  = errors.New("not a FHIR date or time")
)

// instant reads a dateTime with time and zone, in UTC. 24:00 is midnight at
// the end of the day, and a leap second is the second after it. What FHIR
// forbids and leaves no doubt is read too: no seconds, an offset without its
// colon or without minutes.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, errNoTime
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return sane(t)
	}
	date, clock, hasTime := strings.Cut(text, "T")
	if !hasTime {
		if _, _, err := day(text); err != nil {
			return time.Time{}, errBadTime
		}
		return time.Time{}, errDateOnly
	}
	zoneAt := strings.IndexAny(clock, "Z+-")
	if zoneAt < 0 {
		return time.Time{}, errNoZone
	}
	clock, zone := clock[:zoneAt], clock[zoneAt:]
	var extra time.Duration
	if len(clock) == 5 { // hh:mm, which FHIR forbids and systems send
		clock += ":00"
	}
	switch {
	case clock == "24:00:00":
		clock, extra = "00:00:00", 24*time.Hour
	case strings.HasPrefix(clock, "24:"):
		return time.Time{}, errBadTime
	case len(clock) >= 8 && clock[6:8] == "60":
		clock, extra = clock[:6]+"59", time.Second
	}
	switch len(zone) {
	case 3: // +hh
		zone += ":00"
	case 5: // +hhmm
		zone = zone[:3] + ":" + zone[3:]
	}
	t, err := time.Parse(time.RFC3339, date+"T"+clock+zone)
	if err != nil {
		return time.Time{}, errBadTime
	}
	return sane(t.Add(extra))
}

// sane refuses years in which no chart was written, so that no arithmetic on
// times can overflow, and offsets that no place has. MIMIC shifts its dates up
// to the year 2210.
func sane(t time.Time) (time.Time, error) {
	if y := t.Year(); y < 1850 || y > 2300 {
		return time.Time{}, errBadTime
	}
	if _, offset := t.Zone(); offset < -14*3600 || offset > 14*3600 {
		return time.Time{}, errBadTime
	}
	return t.UTC(), nil
}

// day reads a date of any precision as the interval it covers, in UTC.
func day(text string) (from, to time.Time, err error) {
	for _, p := range []struct {
		layout              string
		years, months, days int
	}{{"2006-01-02", 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if from, err = time.Parse(p.layout, text); err == nil {
			if from, err = sane(from); err != nil {
				return time.Time{}, time.Time{}, err
			}
			return from, from.AddDate(p.years, p.months, p.days), nil
		}
	}
	return time.Time{}, time.Time{}, errBadTime
}

// moment reads a date or a time: from is the earliest instant it can mean,
// known the instant by which it had certainly passed.
func moment(text string) (from, known time.Time, err error) {
	if t, err := instant(text); err == nil {
		return t, t, nil
	} else if errors.Is(err, errNoTime) || errors.Is(err, errBadTime) || errors.Is(err, errNoZone) {
		return time.Time{}, time.Time{}, err
	}
	return day(text)
}
