// SPDX-License-Identifier: Apache-2.0

package state

// This file: until when room air holds. A charted fraction is held as the
// catalogue says; that of room air ends where oxygen is given by a device whose
// fraction nobody knows, for 21 % would then make a sick lung look well.

// over says whether o is room air that was no longer breathed at the time at, by
// what is known at T.
func (v *view) over(o *obs, at instant) bool {
	if o.method != MethodRoomAir {
		return false
	}
	devices := after(v.b.upTo(ConceptO2Device, min(at, v.t)), o.at)
	return newest(devices, v.t) != nil
}
