// SPDX-License-Identifier: Apache-2.0

// Command sepsisagent is SepsisAgent CDS: a CDS Hooks service for sepsis in
// the ICU, and everything that trains, checks and audits it. This package
// wires the rooms together (config.go, one file per command) and holds no
// logic of its own: each command is a few lines around a package that can be
// read, tested and used without it.
//
// Results go to standard output, progress and logs to standard error. The
// exit status is 0 for done, 1 for failed and 2 for misuse.
//
// It trusts its command line and its configuration file; everything that
// comes over the network is judged in cdshooks and fhir.
package main

import (
	"os"
	_ "time/tzdata" // cdshooks.time_zone must work in an image that holds nothing but this binary
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
