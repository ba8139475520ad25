// SPDX-License-Identifier: Apache-2.0

//go:build deps

package main

import (
	_ "github.com/klauspost/compress/gzip"
	_ "golang.org/x/oauth2"
	_ "golang.org/x/time/rate"
)
