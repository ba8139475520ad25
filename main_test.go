// SPDX-License-Identifier: Apache-2.0

package main

// This file: TestMain, which removes what the tests shared and finds
// goroutines that were left behind.

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sepsisagent/sepsisagent/audit/audittest"
)

// testContext is for what outlives a single test.
var testContext = context.Background()

func TestMain(m *testing.M) {
	audittest.KeyService() // as which the tests start this binary again
	code := m.Run()
	if dir, err := syntheticFolder(); err == nil {
		os.RemoveAll(dir)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
