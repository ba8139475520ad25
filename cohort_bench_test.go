// SPDX-License-Identifier: Apache-2.0

package main

// This file: where the time of `cohort build` goes, on real data:
//
//	go test -run xxx -bench CohortBuild -benchtime 1x -cpuprofile cpu.out .
//	go tool pprof -top -cum cpu.out

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/fhir"
)

func BenchmarkCohortBuild(b *testing.B) {
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		b.Fatal(err)
	}
	for _, set := range []string{"mimic-iv-demo-fhir", "eicu-demo-fhir"} {
		b.Run(set, func(b *testing.B) {
			dir := dataFolder(b, set)
			for b.Loop() {
				report, err := buildCohort(b.Context(), fhir.NewMapper(maps), defaultConfig().State, []string{dir}, filepath.Join(b.TempDir(), "c.parquet"), io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(report.Bytes)
			}
		})
	}
}
