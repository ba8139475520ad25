// SPDX-License-Identifier: Apache-2.0

package main

// This file: `curriculum`, what it takes to train a language model in three
// stages with an engine that is not ours.

import "github.com/spf13/cobra"

func curriculumCommand() *cobra.Command {
	return group("curriculum", "Train a language model: data of stages 1 and 2, the environment of stage 3", curriculumExport(), curriculumServe())
}
