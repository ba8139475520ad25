// SPDX-License-Identifier: Apache-2.0

package main

// This file: `curriculum`, what it takes to train a language model in three
// stages with an engine that is not ours, and how our own network went through
// them.

import "github.com/spf13/cobra"

func curriculumCommand() *cobra.Command {
	return group("curriculum", "The three-stage curriculum: data of stages 1 and 2 and the environment of stage 3 for language models, and how our own went", curriculumExport(), curriculumServe(), curriculumReport())
}
