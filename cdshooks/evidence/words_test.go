// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"testing"

	"github.com/sepsisagent/sepsisagent/engine/state"
)

func TestAnOxygenDeviceIsShownByItsName(t *testing.T) {
	label, value := shown(state.Reading{Concept: state.ConceptO2Device, Value: 1, Unit: "1", Received: "Nasal cannula"})
	if label != "Oxygen device" || value != "Nasal cannula" {
		t.Errorf("got %q %q", label, value)
	}
}
