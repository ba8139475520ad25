// SPDX-License-Identifier: Apache-2.0

package world

// This file: training joins every goroutine it starts.

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
